//! `pharos simulate --server`: a configuration compared with the one that the server serves.

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::{CONFIG, TOKEN, World, pharos, texts};

/// The configuration with a network, and rules of three kinds.
fn config() -> String {
    let list = "[networks]\nsites = { list = \"sites.txt\" }\n\n[mirrors.near]";
    let rules = "rules = [\n  { network = \"sites\", label = \"x\", mirrors = [\"near\"] },\n  \
                 { network = \"sites\", label = \"y\", mirrors = [\"near\", \"far\"], weights = { near = 1, far = 3 } },\n]\ndefault";
    format!("allow = [\"secrets-exposed\", \"single-ns\", \"no-line-end\"]\n{CONFIG}")
        .replace("[mirrors.near]", list)
        .replace("default", rules)
}

const SITES: &str = "127.0.0.0/8 x\n198.18.0.0/16 y\n2001:db8::/33 x\n2001:db8:8000::/33 y\n";

#[test]
fn a_configuration_is_compared_with_the_served_one_in_the_words_of_two_files() {
    let world = World::start();
    world.write("sites.txt", SITES);
    world.write("pharos.toml", &config());
    world.ok(&["reload"]);
    // The files change on the disk, and the comparison is with the served state.
    std::fs::copy(world.path("sites.txt"), world.path("served.txt")).unwrap();
    world.write("old.toml", &config().replace("sites.txt", "served.txt"));
    world.write("sites.txt", &SITES.replace("127.0.0.0/8 x", "127.0.0.0/9 x").replace(":8000::/33", ":8000::/34"));
    let new = config().replace("near = 1, far = 3", "near = 3, far = 1").replace("[\"near\"] }", "[\"spare\"] }");
    world.write("new.toml", &new);
    // The places of rules differ by the name of the file alone.
    let same = |text: &str| text.replace("old.toml", "pharos.toml").replace("served.txt", "sites.txt");
    let laid_out = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let new = world.path("new.toml").display().to_string();
    let old = world.path("old.toml").display().to_string();
    for more in [&[][..], &["--json"], &["--max-moved", "1%"], &["--max-moved", "100%"]] {
        let by_file = world.run(&[&["simulate", &new, "--against", &old], more].concat());
        let by_server = world.run(&[&["simulate", &new, "--server"], more].concat());
        assert_eq!(by_file.status.code(), by_server.status.code(), "{more:?}: {by_server:?}");
        assert_eq!(by_server.status.code(), Some(i32::from(more == ["--max-moved", "1%"])));
        let [(file, first), (server, second)] = [texts(&by_file), texts(&by_server)];
        assert_eq!(laid_out(&same(&file)), laid_out(&server), "{more:?}");
        assert_eq!(laid_out(&first), laid_out(&second));
        assert!(server.contains("spare"), "{server}");
    }
    // Without a name it is the located configuration, whose list has lost addresses.
    let found: Value = serde_json::from_str(&world.ok(&["simulate", "--server", "--json"])).unwrap();
    assert_eq!(found["networks"][0]["lost"]["IPv4"], 1 << 23);
    assert_eq!(found["horizons"][0]["families"][0]["moved"], 0, "the default has the same mirror");
    assert_eq!(found["horizons"][0]["families"][1]["moved"], 16_384.0 * 0.75);
    // A refused list is served on, and it is the served one that is compared.
    world.write("sites.txt", "<html>\n");
    assert_eq!(world.run(&["reload"]).status.code(), Some(1));
    let output = world.run(&["simulate", &old, "--server"]);
    let (said, _) = texts(&output);
    assert_eq!(said, "horizon h: no IPv4 address moves\n\nhorizon h: no IPv6 address moves\n");
}

#[test]
fn a_comparison_with_a_server_that_is_not_there_or_does_not_answer_is_an_error() {
    let world = World::start();
    // Databases of addresses are for users of this machine.
    for token in [Some(TOKEN), None] {
        assert_eq!(world.admin(Method::GET, "/rulings", token, "").0, StatusCode::NOT_FOUND);
    }
    let said = world.fails(4, &["simulate", "--server", "--socket", "no.sock"]);
    assert!(said.contains("no server answers at no.sock"), "{said}");
    world.write("broken.toml", &CONFIG.replace("default =", "dfault ="));
    let broken = world.path("broken.toml").display().to_string();
    let said = world.fails(1, &["simulate", &broken, "--server"]);
    assert!(said.contains("unknown-key"), "{said}");
    for both in [
        &["simulate"][..],
        &["simulate", "--server", "--against", "x"],
        &["simulate", "--against", "x", "--socket", "y"],
    ] {
        world.fails(2, both);
    }
    // The configuration that names the socket is the located one; the new one may have another.
    world.write("elsewhere.toml", &CONFIG.replace("control.sock", "other.sock"));
    let elsewhere = world.path("elsewhere.toml");
    let output = pharos(&world.path("pharos.toml"), &["simulate", &elsewhere.display().to_string(), "--server"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
