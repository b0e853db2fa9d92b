//! The same over an S3 API and over etcd: a drain spreads, and the loss of the store costs nothing.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::servers;
use super::verdicts::FOUR;
use super::world::*;

/// The patience with a cluster that elects a leader while the machine is busy.
const LONG: Duration = Duration::from_secs(90);

/// Variables of the environment.
type Variables = Vec<(String, PathBuf)>;

/// A running fleet of four over the store of a URL.
fn start(store: &str, pace: &str, variables: impl Fn(&str) -> Variables) -> Fleet {
    let mut fleet = Fleet::prepare(&FOUR);
    for member in &mut fleet.members {
        member.variables = variables(&member.name);
    }
    fleet.running(|name| config(name, store, pace, MIRRORS))
}

/// The variables for an S3 API.
fn s3(at: SocketAddr) -> Variables {
    let endpoint = format!("http://{at}");
    let all = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    all.map(|(name, value)| (name.into(), value.into())).into()
}

/// True for bytes that are to pass.
type Passes = Box<dyn Fn(&[u8]) -> bool + Send>;

/// Relays connections to an S3 API. While `loses` is set, answers to `PUT` are lost on their way back.
fn relay(to: SocketAddr, loses: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pump = |mut from: TcpStream, mut to: TcpStream, passes: Passes| {
        std::thread::spawn(move || {
            let mut room = vec![0; 1 << 16];
            while let Ok(len @ 1..) = from.read(&mut room) {
                if passes(&room[..len]) && to.write_all(&room[..len]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    };
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(to) else { return };
            let is_put = Arc::new(AtomicBool::new(false));
            let (sees, loses) = (is_put.clone(), loses.clone());
            let note = move |bytes: &[u8]| {
                match bytes {
                    [b'P', b'U', b'T', ..] => sees.store(true, Ordering::Relaxed),
                    [b'G', b'E', b'T', ..] => sees.store(false, Ordering::Relaxed),
                    _ => {}
                }
                true
            };
            pump(client.try_clone().unwrap(), server.try_clone().unwrap(), Box::new(note));
            let is_lost = move || is_put.load(Ordering::Relaxed) && loses.load(Ordering::Relaxed);
            pump(server, client, Box::new(move |_| !is_lost()));
        }
    });
    address
}

/// Spreads a drain, loses the store, drains and removes meanwhile, and returns it.
fn scenario(fleet: &Fleet, lose: impl FnOnce(), restore: impl FnOnce()) {
    fleet[0].drain("near");
    fleet.expect(20);
    lose();
    fleet.members.iter().for_each(|member| member.wait_said("the fleet shares nothing with this server"));
    fleet[1].auto("near");
    fleet[2].drain("spare");
    assert_eq!([0, 1, 2, 3].map(|at| fleet[at].answer()), [20, 10, 20, 20], "each as before, or by its own override");
    restore();
    until_within(LONG, "all agree", || {
        fleet.members.iter().all(|member| member.answer() == 10 && member.order("spare") == "drain")
    });
    fleet.members.iter().for_each(|member| member.wait_said("of the fleet is used again"));
}

#[test]
fn a_fleet_over_s3_agrees_and_goes_on_without_its_bucket() {
    let Some(moto) = servers::moto() else { return };
    let fleet = start("s3://fleet/prod", "every = \"2s\"\nstale = \"30s\"\n", |_| s3(moto.address));
    let list = servers::request(moto.address, "GET /fleet?list-type=2 HTTP/1.1", "");
    for server in FOUR {
        assert!(list.contains(&format!("<Key>prod/servers/{server}.json</Key>")), "{list}");
    }
    scenario(&fleet, || moto.signal("STOP"), || moto.signal("CONT"));
    fleet[0].ok(&["fleet", "forget", "b"]);
    until("it is heard again", || fleet[0].peer("b")["fresh"] == true);
}

#[test]
fn a_write_whose_answer_is_lost_is_read_by_the_others_and_is_no_other_server() {
    let Some(moto) = servers::moto() else { return };
    let loses = Arc::new(AtomicBool::new(false));
    let through = relay(moto.address, loses.clone());
    let at = |name: &str| if name == "a" { through } else { moto.address };
    let fleet = start("s3://fleet/prod", "every = \"1s\"\nstale = \"60s\"\n", |name| s3(at(name)));
    loses.store(true, Ordering::Relaxed);
    fleet[0].drain("near");
    fleet.expect(20);
    fleet[0].wait_said("the fleet shares nothing with this server");
    // Each later write takes effect too, and is another document.
    fleet[0].auto("near");
    fleet.expect(10);
    fleet[0].drain("near");
    fleet.expect(20);
    loses.store(false, Ordering::Relaxed);
    fleet[0].wait_said("of the fleet is used again");
    fleet[0].wait_rounds(3);
    assert_eq!(fleet[0].said("another server writes as"), [] as [String; 0]);
}

#[test]
fn a_fleet_over_etcd_hears_of_a_drain_by_the_watch() {
    let folder = tempfile::tempdir().unwrap();
    let Some(members) = servers::etcd(3, folder.path(), None) else { return };
    let hosts: Vec<_> = members.iter().map(|member| member.client.to_string()).collect();
    // Without the watch a change would be seen after a minute.
    let fleet =
        start(&format!("etcd://{}/prod", hosts.join(",")), "every = \"60s\"\nstale = \"180s\"\n", |_| Vec::new());
    let mut took = Vec::new();
    let mut told = Vec::new();
    for round in 0..6 {
        let (from, is_drain) = (round % 3, round % 2 == 0);
        let began = Instant::now();
        let said = if is_drain { fleet[from].drain("near") } else { fleet[from].auto("near") };
        told.push(said);
        fleet.expect(if is_drain { 20 } else { 10 });
        took.push(began.elapsed());
    }
    assert!(took.iter().all(|took| *took < Duration::from_secs(20)), "{took:?}");
    assert!(told.iter().any(|said| said.contains("fleet: b, c, d too")), "the command waits for the others: {told:#?}");
}

#[test]
fn a_fleet_over_etcd_goes_on_without_a_quorum_and_agrees_after_its_return() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut members) = servers::etcd(3, folder.path(), None) else { return };
    let hosts: Vec<_> = members.iter().map(|member| member.client.to_string()).collect();
    let fleet = start(&format!("etcd://{}/prod", hosts.join(",")), "every = \"2s\"\nstale = \"30s\"\n", |_| Vec::new());
    // One member of three is no loss.
    members[0].kill();
    fleet[0].drain("far");
    until("it spreads", || fleet.members.iter().all(|member| member.order("far") == "drain"));
    fleet[0].auto("far");
    until("it spreads", || fleet.members.iter().all(|member| member.order("far").is_null()));
    let members = std::cell::RefCell::new(members);
    scenario(&fleet, || members.borrow_mut()[1].kill(), || members.borrow_mut()[1].start());
}

/// Pushes other mirrors as a pipeline does, and waits until all servers serve these.
fn push(fleet: &Fleet, store: &str, variables: &[(String, PathBuf)]) -> PathBuf {
    let folder = fleet.path("push");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(fleet[0].path("zone"), folder.join("zone")).unwrap();
    let far = MIRRORS.replace("\"near\", \"far\"", "\"far\", \"near\"");
    std::fs::write(folder.join("pharos.toml"), config("a", store, "soak = \"0s\"\nstages = [\"a\", \"b\"]\n", &far))
        .unwrap();
    let output = pushing(&folder, variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fleet.expect(20);
    folder
}

fn pushing(folder: &std::path::Path, variables: &[(String, PathBuf)]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pharos"));
    let variables = variables.iter().map(|(name, value)| (name, value));
    command.envs(variables).args(["fleet", "push", "--config"]).arg(folder.join("pharos.toml")).output().unwrap()
}

#[test]
fn a_bundle_over_s3_reaches_all_and_stays_without_the_bucket() {
    let Some(moto) = servers::moto() else { return };
    let (store, variables) = ("s3://fleet/prod", s3(moto.address));
    let mut fleet = start(store, "every = \"2s\"\nstale = \"30s\"\n", |_| s3(moto.address));
    push(&fleet, store, &variables);
    let list = servers::request(moto.address, "GET /fleet?list-type=2 HTTP/1.1", "");
    for folder in ["<Key>prod/bundles/", "<Key>prod/files/", "<Key>prod/rollout.json"] {
        assert!(list.contains(folder), "{list}");
    }
    moto.signal("STOP");
    fleet[2].kill();
    fleet[2].start();
    assert_eq!(fleet[2].answer(), 20);
    moto.signal("CONT");
}

#[test]
fn a_bundle_over_etcd_reaches_all_and_a_file_that_etcd_does_not_keep_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Some(members) = servers::etcd(3, folder.path(), None) else { return };
    let hosts: Vec<_> = members.iter().map(|member| member.client.to_string()).collect();
    let store = format!("etcd://{}/prod", hosts.join(","));
    let fleet = start(&store, "every = \"2s\"\nstale = \"30s\"\n", |_| Vec::new());
    let pushed = push(&fleet, &store, &[]);
    let long: String = (0..120_000u32)
        .map(|number| format!("10.{}.{}.{}/32\n", number >> 16, number >> 8 & 255, number & 255))
        .collect();
    std::fs::write(pushed.join("office"), long).unwrap();
    let config = std::fs::read_to_string(pushed.join("pharos.toml")).unwrap();
    std::fs::write(pushed.join("pharos.toml"), config + "[networks]\noffice = { list = \"office\" }\n").unwrap();
    let refused = pushing(&pushed, &[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("`office` has") && said.contains("keeps objects of 1500000 bytes"),
        "{said}"
    );
}
