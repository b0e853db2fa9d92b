//! Information that operators of mirrors and servers need in a hurry: the contact of a mirror, the users that may connect,
//! and the user behind an override.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use hyper::StatusCode;
use serde_json::Value;

use super::common::needs;
use super::{CONFIG, World, texts};

/// A user and a group that no system has.
const NOBODY: u32 = 4_000_000_122;
const GROUP: u32 = 4_000_000_123;

/// Runs a command as a user of a group; `None` if this user cannot run it at all.
fn run_as(user: u32, group: u32, config: &Path, arguments: &[&str]) -> Option<Output> {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.uid(user).gid(group).env_remove("NOTIFY_SOCKET").env_remove("SUDO_USER").args(arguments).output()
    };
    // The folder of the build may be for its owner alone.
    let can_run = run(&["--version"]).is_ok_and(|output| output.status.success());
    if !can_run {
        needs::skip("it takes root, and a build that every user can run");
        return None;
    }
    Some(run(&[&["--config", config.to_str().unwrap()], arguments].concat()).unwrap())
}

#[test]
fn the_socket_is_for_the_members_of_its_group() {
    let config = CONFIG
        .replace("token-file = \"admin.token\"\n", "")
        .replace("[control]\n", &format!("[control]\ngroup = \"{GROUP}\"\n"));
    // Only root can give a file to a group without being its member.
    let Some(output) = run_as(NOBODY, NOBODY, Path::new("/"), &["--version"]) else { return };
    assert!(output.status.success());
    let world = World::start_with(&config);
    let mode =
        |name: &str, mode| std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    mode("", 0o755);
    let status = |group| {
        let output = run_as(NOBODY, group, &world.path("pharos.toml"), &["status"]).unwrap();
        (output.status.code(), texts(&output))
    };
    let (code, (said, _)) = status(GROUP);
    assert!(code == Some(0) && said.starts_with("state         serving"), "{said}");
    let (code, (_, complained)) = status(NOBODY);
    assert!(code == Some(4) && complained.contains("is not for this user"), "{complained}");
    assert!(complained.contains("a member of the group of `[control] group`"), "{complained}");
    // Without the key it is for the server's user and root alone.
    drop(world);
    let world = World::start();
    std::fs::set_permissions(world.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = run_as(NOBODY, GROUP, &world.path("pharos.toml"), &["status"]).unwrap();
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn a_group_that_cannot_be_had_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("pharos.toml");
    let write = |group: &str| {
        let text = CONFIG.replace("token-file = \"admin.token\"\n", "");
        std::fs::write(&config, text.replace("[control]\n", &format!("[control]\ngroup = \"{group}\"\n"))).unwrap();
    };
    std::fs::write(folder.path().join("zone"), super::ZONE).unwrap();
    write("no-such-group-here");
    for command in ["check", "serve"] {
        let output = super::pharos(&config, &[command]);
        let (said, complained) = texts(&output);
        let all = said + &complained;
        assert_eq!(output.status.code(), Some(1), "{all}");
        assert!(all.contains("error[unknown-group]: group `no-such-group-here` cannot be used"), "{all}");
        assert!(all.contains("pharos.toml:9:9") && all.contains("`groupadd --system no-such-group-here`"), "{all}");
    }
    // The server's user is not a member of the group: only root could give a file to it.
    write(&GROUP.to_string());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let Some(output) = run_as(NOBODY, NOBODY, &config, &["serve"]) else { return };
    let (_, complained) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{complained}");
    let expected = format!(
        "error: failed to open the control socket: user {NOBODY} cannot give it to the group `{GROUP}`: permission denied"
    );
    assert!(complained.contains(&expected) && complained.contains("`SupplementaryGroups=`"), "{complained}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains(".sock.new")), "{left:?}");
}

#[test]
fn the_contact_of_a_mirror_is_shown_where_its_trouble_is() {
    // The mirrors are loopback addresses without a listener.
    let probe = "[probe]\nport = 1\nfall = 1\n";
    let contact = "noc@near.example, \\\"Near\\\" desk";
    let config = CONFIG
        .replace("192.0.2.", "127.0.0.")
        .replace("[mirrors.far]", &format!("contact = \"{contact}\"\n[mirrors.far]"));
    let mut world = World::start_with(&format!("{config}{probe}"));
    let shown = "noc@near.example, \"Near\" desk";
    let list = world.ok(&["mirror", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    let at = lines[0].find("CONTACT").unwrap();
    assert!(lines[1].starts_with("near ") && lines[1][at..] == *shown, "{list}");
    assert!(lines[2].starts_with("far ") && lines[2].len() <= at, "{list}");
    let status = world.ok(&["status"]);
    let troubles: Vec<&str> = status.split("\ntrouble ").skip(1).collect();
    assert!(troubles[0].trim_start().starts_with("near: "), "{status}");
    assert!(troubles[0].contains(&format!("\n              contact: {shown}")), "{status}");
    assert!(troubles.len() == 3 && !troubles[1].contains("contact"), "{status}");
    assert_eq!(world.json(&["mirror", "list", "near"])["contact"], shown);
    assert_eq!(world.json(&["mirror", "list", "far"])["contact"], Value::Null);
    assert_eq!(world.json(&["status"])["troubles"][0]["contact"], shown);
    let explained = world.json(&["explain", "198.51.100.0/24", "--server"]);
    assert_eq!(explained["steered"]["mirrors"][0]["contact"], shown);
    let metrics = world.server().metrics();
    for line in [
        format!("pharos_mirror_info{{mirror=\"near\",contact=\"{contact}\"}} 1\n"),
        "pharos_mirror_info{mirror=\"far\",contact=\"\"} 1\n".to_string(),
    ] {
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    // A reload brings another one.
    world.write("pharos.toml", &format!("{}{probe}", config.replace("noc@", "desk@")));
    let server = world.server.as_mut().unwrap();
    server.signal("HUP");
    server.wait_for("reloaded: generation");
    assert_eq!(world.json(&["mirror", "list", "near"])["contact"], shown.replace("noc@", "desk@"));
}

/// Asks at the control socket with a header of its own; the body of the answer.
fn ask(socket: &Path, user: Option<u32>, head: &str, body: &str) -> String {
    let script = "printf '%s' \"$1\" | curl -s --unix-socket \"$0\" -X PUT --data-binary @- -H \"$2\" http://x/mirrors/near/override";
    let mut command = Command::new("sh");
    if let Some(user) = user {
        command.uid(user).gid(GROUP);
    }
    let output = command.args(["-c", script]).arg(socket).args([body, head]).output().unwrap();
    texts(&output).0
}

#[test]
fn an_override_is_that_of_a_person() {
    let world = World::start_with(&CONFIG.replace("[control]\n", &format!("[control]\ngroup = \"{GROUP}\"\n")));
    std::fs::set_permissions(world.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = world.path("pharos.toml");
    let sudo = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        let output = command.env("SUDO_USER", "alice").arg("--config").arg(&config).args(arguments).output().unwrap();
        assert!(output.status.success(), "{:?}", texts(&output));
        texts(&output).0
    };
    let of = |mirror: &str| world.json(&["mirror", "list", mirror])["order"].clone();
    let order = |mirror: &str, who: &str, via: &str, uid: Value| {
        let order = of(mirror);
        assert_eq!((&order["who"], &order["via"], &order["uid"]), (&who.into(), &via.into(), &uid), "{order}");
        order["since"].as_str().unwrap().to_string()
    };

    // Root by sudo is recorded as the user that ran sudo, everywhere.
    let said = sudo(&["mirror", "drain", "near", "--reason", "new disks"]);
    let since = order("near", "alice", "sudo", 0.into());
    let line = format!("near: drained by override of alice (sudo) since {since}: new disks\n");
    assert_eq!(said, line);
    assert!(world.ok(&["status"]).contains(&line) && world.ok(&["mirror", "list"]).contains(&line["near: ".len()..]));
    let log = world.server().wait_for("override set: mirror near is drained by override of alice (sudo) until");
    assert!(!log.is_empty());
    sudo(&["mirror", "auto", "near"]);
    world.server().wait_for("override removed by alice (sudo): mirror near was drained by override of alice (sudo)");

    // The token has no user, so that the client's address is recorded; a header cannot name a user.
    let body = "{\"override\": \"down\", \"reason\": \"x\"}";
    let (status, _) = world.admin(hyper::Method::PUT, "/mirrors/far/override", Some(super::TOKEN), body);
    assert!(status.is_success());
    order("far", "token from 127.0.0.1", "token", Value::Null);

    // Another user is recorded with the UID from the kernel, whatever the client says.
    let Some(output) = run_as(NOBODY, GROUP, &config, &["mirror", "up", "spare", "--reason", "x"]) else { return };
    assert!(output.status.success(), "{:?}", texts(&output));
    order("spare", &format!("uid {NOBODY}"), "login", NOBODY.into());
    let Some(_) = needs::program("curl", "curl") else { return };
    for (user, name) in [(1, "daemon"), (NOBODY, &*format!("uid {NOBODY}"))] {
        ask(&world.path("control.sock"), Some(user), "Pharos-Sudo-User: alice", body);
        order("near", name, "login", user.into());
    }
    ask(&world.path("control.sock"), None, "Pharos-Sudo-User: a%0Ab", body);
    order("near", "root", "login", 0.into());
}

#[test]
fn a_drained_server_answers_and_is_not_ready_until_it_is_put_back() {
    let mut world = World::start();
    let ready = |world: &World| world.admin(hyper::Method::GET, "/ready", None, "");
    let drained = |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("drained by an operator{reason}\n"));
    let serving = (StatusCode::OK, "ready\n".to_string());
    assert_eq!((ready(&world), world.server().metric("pharos_server_drained")), (serving.clone(), 0));

    let said = world.ok(&["server", "drain", "--reason", "new kernel"]);
    let drain = world.json(&["status"])["drain"].clone();
    let (since, user) = (drain["since"].as_str().unwrap(), super::login());
    let line = format!("drained by override of {user} since {since}: new kernel");
    assert_eq!(said, format!("server: {line}; queries are still answered\n"));
    assert_eq!(
        (&drain["reason"], &drain["who"], &drain["via"]),
        (&"new kernel".into(), &(&*user).into(), &"login".into())
    );
    let is_drained = |world: &World| {
        assert_eq!(ready(world), drained(": new kernel"));
        assert_eq!(world.answer(), [10], "it still answers");
        assert_eq!(world.server().metric("pharos_server_drained"), 1);
        let status = world.ok(&["status"]);
        assert!(status.starts_with("state         drained, queries are still answered, pharos "), "{status}");
        assert!(status.contains(&format!("\ndrain         {line}\n")), "{status}");
        assert_eq!(world.json(&["status"])["obstacle"], "drained by an operator: new kernel");
    };
    is_drained(&world);
    world.server().wait_for(&format!("override set: the server is drained by override of {user} until removed"));

    // The drain outlives a reload and a kill, because an operator that restarts a server in the middle of maintenance does
    // not want clients there.
    world.server().signal("HUP");
    world.server().wait_for("reloaded: generation");
    is_drained(&world);
    world.kill();
    world.start_again();
    is_drained(&world);
    // A mirror's override is independent of the server's drain.
    world.ok(&["mirror", "down", "near", "--reason", "x"]);
    assert_eq!((world.answer(), ready(&world)), (vec![20], drained(": new kernel")));
    world.ok(&["mirror", "auto", "near"]);

    let said = world.ok(&["server", "undrain", "--reason", "it runs"]);
    assert_eq!(said, format!("server: in service\nbefore: {line}\n"));
    assert_eq!((ready(&world), world.server().metric("pharos_server_drained")), (serving.clone(), 0));
    assert_eq!(world.ok(&["server", "undrain"]), "server: in service\n", "again changes nothing");
    assert_eq!(world.json(&["status"])["drain"], Value::Null);
    world.kill();
    world.start_again();
    assert_eq!(ready(&world), serving);
}

#[test]
fn a_server_is_drained_with_the_token_and_for_a_time() {
    let world = World::start();
    let admin = |method, token, body: &str| world.admin(method, "/server/drain", token, body);
    let body = "{\"reason\": \"new kernel\", \"until\": \"1s\"}";
    assert_eq!(admin(hyper::Method::PUT, None, body).0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.admin(hyper::Method::GET, "/ready", None, "").0, StatusCode::OK);
    let (status, said) = admin(hyper::Method::PUT, Some(super::TOKEN), body);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["drain"]["via"]), (StatusCode::OK, &"token".into()), "{said}");
    assert_eq!(said["drain"]["who"], "token from 127.0.0.1");
    // The drain ends by itself.
    world.server().wait_for("override ended: the server was drained by override of token from 127.0.0.1 until 20");
    assert_eq!(world.admin(hyper::Method::GET, "/ready", None, ""), (StatusCode::OK, "ready\n".into()));
    for (status, body) in [(400, "{}"), (400, "{\"reason\": \" \"}"), (400, "{\"reason\": \"x\", \"until\": \"soon\"}")]
    {
        assert_eq!(admin(hyper::Method::PUT, Some(super::TOKEN), body).0.as_u16(), status, "{body}");
    }
    assert_eq!(
        world.fails(2, &["server", "drain"]).lines().next().unwrap(),
        "error: the following required arguments were not provided:"
    );
}

#[test]
fn a_state_file_of_a_later_version_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = format!(
        "{}[probe]\nport = 1\nstate = \"verdicts.state\"\n[resolver]\nstate = \"hosts.state\"\n\
         [[zone]]\nname = \"copy.example\"\nprimaries = [\"127.0.0.1:1\"]\nfile = \"copy.state\"\n",
        CONFIG.replace("token-file = \"admin.token\"\n", "")
    );
    std::fs::write(path("zone"), super::ZONE).unwrap();
    std::fs::write(path("pharos.toml"), config).unwrap();
    for (name, first) in [
        ("orders.json", "pharos state overrides 2"),
        ("verdicts.state", "pharos state probe 2"),
        ("hosts.state", "pharos state hosts 2"),
        ("copy.state", "; pharos state copy 2"),
    ] {
        let text = format!("{first}\nwhat a later version keeps\n");
        std::fs::write(path(name), &text).unwrap();
        for command in ["check", "serve"] {
            // A server that starts in spite of the file would not end.
            let mut limited = Command::new("timeout");
            limited.args(["60", env!("CARGO_BIN_EXE_pharos"), "--config"]).arg(path("pharos.toml")).arg(command);
            let output = limited.env_remove("NOTIFY_SOCKET").output().unwrap();
            let (said, complained) = texts(&output);
            let all = said + &complained;
            assert_eq!(output.status.code(), Some(1), "{command} {name}: {all}");
            let expected = "a newer version wrote it (format 2; this version reads 1)";
            assert!(all.contains(expected) && all.contains(name), "{command} {name}: {all}");
            assert!(all.contains("run the newer version, or name another file: this one is left as it is"), "{all}");
            assert!(all.contains(&format!("{}:", path("pharos.toml").display())), "the line that names it: {all}");
            assert_eq!(std::fs::read_to_string(path(name)).unwrap(), text, "{command} changed {name}");
        }
        let around: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(around.iter().all(|other| !other.to_string_lossy().contains(&format!("{name}."))), "{around:?}");
        std::fs::remove_file(path(name)).unwrap();
    }
}

#[test]
fn check_warns_of_overrides_that_will_be_lost() {
    for (text, expected) in [
        ("", "orders.json` is empty: overrides of operators that were in it are lost"),
        (
            "pharos state overrides 1\n{\"version\": 1, \"ord",
            "orders.json` is damaged: the overrides of operators in it are lost",
        ),
    ] {
        let mut world = World::start();
        let (state, config) = (world.path("orders.json"), world.path("pharos.toml"));
        world.kill();
        std::fs::write(&state, text).unwrap();
        let (said, complained) = texts(&super::pharos(&config, &["check"]));
        assert!((said.clone() + &complained).contains(expected), "{said}{complained}");
        assert!((said + &complained).contains("warning[override-state]"), "{complained}");
    }
}
