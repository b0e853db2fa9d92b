//! Copies that are missing, damaged or shared, and reloads around fetches.

use super::*;

#[test]
fn a_reload_that_moves_or_changes_the_line_of_a_source_goes_on() {
    let origin = Origin::new(content(&feed_with(&[])));
    let url = origin.url("/aws.json");
    let mut world = World::start(&config(&aws(&url, ""), ""));
    world.server().wait_for("its new content is served");
    let edited = [
        config(&aws(&url, ""), "# one line further down"),
        config(&aws(&url, ", every = \"2h\""), ""),
        config(&aws(&url, ""), "refresh = { timeout = \"1m\" }"),
        config(&aws(&origin.url("/other"), ""), ""),
        config("other = { list = \"zone\" }\n", "").replace("other = { list = \"zone\" }", &aws(&url, ", pin = true")),
        config(&aws(&url, ""), ""),
    ];
    for text in edited {
        fs::write(world.path("pharos.toml"), &text).unwrap();
        let output = world.command(&["reload"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(world.answer("3.64.0.0/16"), 1);
    }
    // A task that ends would end the process soon.
    world.server().wait_for_nothing_in(Duration::from_millis(300));
    assert!(world.server.as_mut().unwrap().is_running());
    assert_eq!(world.refresh(&["aws"]).1, "unchanged");
}

#[test]
fn a_publisher_that_a_reload_has_replaced_is_not_asked_any_more() {
    let [old, new] = [(), ()].map(|()| Origin::new(content(&feed_with(&[]))));
    let keys = |origin: &Origin| config(&aws(&origin.url("/aws.json"), ", every = \"1s\""), "");
    let world = World::start(&keys(&old));
    world.server().wait_for("its new content is served");
    fs::write(world.path("pharos.toml"), keys(&new)).unwrap();
    assert_eq!(world.command(&["reload"]).status.code(), Some(0));
    // A request may be under way; this forgets the requests so far.
    assert_eq!(world.refresh(&["aws"]).1, "unchanged");
    old.becomes(content(&feed_with(&[])));
    let deadline = std::time::Instant::now() + PATIENCE;
    while new.requests().len() < 4 {
        assert!(std::time::Instant::now() < deadline, "the new publisher is not asked");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(old.requests(), [] as [String; 0]);
}

#[test]
fn a_copy_that_is_removed_costs_no_prefix_and_is_fetched_again() {
    let origin = Origin::new(conditional(&feed_with(&[]), "ETag", "\"one\""));
    let world = World::start(&config(&aws(&origin.url("/aws.json"), ""), ""));
    world.server().wait_for("its new content is served");
    fs::remove_file(world.path("state/aws.json")).unwrap();
    let output = world.command(&["reload"]);
    assert!(
        output.status.code() == Some(1) && said(&output).contains("keeps its served prefixes (1)"),
        "{}",
        said(&output)
    );
    assert_eq!(world.answer("3.64.0.0/16"), 1);
    world.server().wait_for("its new content is served");
    assert_eq!(world.read("state/aws.json"), feed_with(&[]));
    assert_eq!(world.command(&["reload"]).status.code(), Some(0));
}

#[test]
fn a_damaged_copy_falls_back_to_the_one_before_at_a_start() {
    let origin = Origin::new(content(&feed_with(&[])));
    let mut world = World::start(&config(&aws(&origin.url("/aws.json"), ""), ""));
    world.server().wait_for("its new content is served");
    origin.becomes(content(&feed_with(&["52.0.0.0/30"])));
    assert_eq!(world.refresh(&[]).1, "taken");
    let whole = world.read("state/aws.json");
    fs::write(world.path("state/aws.json"), &whole[..whole.len() / 2]).unwrap();
    world.run();
    assert_eq!((world.answer("3.64.0.0/16"), world.answer("52.0.0.1/32")), (1, 2));
    // The state is lost, and the copy is good: the server serves it, and fetches no more until it is moved away.
    fs::write(world.path("state/aws.json"), &whole).unwrap();
    fs::write(world.path("state/aws.json.state"), "junk\n").unwrap();
    world.run();
    assert_eq!(world.answer("52.0.0.1/32"), 1);
    let age = world.status()["age_seconds"].as_u64().unwrap();
    assert!(age < 3600, "{age}");
}

#[test]
fn servers_that_share_a_copy_each_serve_the_publishers_content() {
    let origin = Origin::new(conditional(&feed_with(&[]), "ETag", "\"one\""));
    let one = World::start(&config(&aws(&origin.url("/aws.json"), ""), ""));
    one.server().wait_for("its new content is served");
    let shared = one.path("state/aws.json").display().to_string();
    let text = config(&aws(&origin.url("/aws.json"), ""), "").replace("state/aws.json", &shared);
    let other = World::start(&text);
    assert_eq!(other.answer("3.64.0.0/16"), 1);
    origin.becomes(conditional(&feed_with(&["52.0.0.0/30"]), "ETag", "\"two\""));
    assert_eq!(one.refresh(&[]).1, "taken");
    assert_eq!(other.answer("52.0.0.1/32"), 2);
    assert_eq!(other.refresh(&[]).1, "taken");
    assert_eq!((other.answer("52.0.0.1/32"), other.refresh(&[]).1), (1, "unchanged".into()));
}

#[test]
fn the_admin_listener_fetches_for_the_holder_of_the_token() {
    let origin = Origin::new(content(&feed_with(&[])));
    let text = config(&aws(&origin.url("/aws.json"), ""), "")
        .replace("[admin]\n", "[admin]\ntoken = \"0123456789abcdef0123\"\n");
    let world = World::start(&text);
    world.server().wait_for("its new content is served");
    let post = |token: &str| {
        use std::io::Read as _;
        let address = world.server().listener("health and metrics", [127, 0, 0, 1].into());
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("POST /refresh?source=aws HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(post("0123456789abcdef9999").starts_with("HTTP/1.0 401"));
    let answer = post("0123456789abcdef0123");
    assert!(answer.starts_with("HTTP/1.0 200") && answer.contains("\"outcome\":\"unchanged\""), "{answer}");
    origin.becomes(content("<html></html>\n"));
    assert!(post("0123456789abcdef0123").starts_with("HTTP/1.0 422"));
}
