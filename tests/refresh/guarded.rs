//! The guard on fetched contents, and the way back.

use super::*;

#[test]
fn a_content_that_moves_too_many_clients_is_refused_and_kept_aside() {
    let first = feed(&["3.0.0.0/9", "52.0.0.0/11"]);
    let origin = Origin::new(content(&first));
    let world = World::start(&config(&aws(&origin.url("/aws.json"), ""), ""));
    world.server().wait_for("its new content is served");
    // A feed that was cut short, and is valid.
    let cut = feed(&["3.0.0.0/9"]);
    origin.becomes(content(&cut));
    let (code, outcome, why) = world.refresh(&["aws"]);
    assert_eq!((code, &*outcome), (1, "refused"));
    assert_eq!(why, "20.0 % of the IPv4 addresses that rules decide for in horizon `all` would get other mirrors");
    assert_eq!((world.read("state/aws.json"), world.read("state/aws.json.refused")), (first.clone(), cut.clone()));
    assert_eq!(world.answer("52.1.0.0/16"), 1);
    let logged = world.server().wait_for("the content that was fetched is refused");
    assert_eq!(world.refresh(&["aws"]).1, "refused");
    let text = said(&world.command(&["refresh", "aws"]));
    assert!(text.contains("`pharos refresh aws --allow-moved 20%` lets it through"), "{text}");
    let again: Vec<String> = world.server().lines();
    assert!(!again.iter().any(|line| line.contains("is refused")), "said once: {logged:#?} {again:#?}");
    let status = said(&world.command(&["status"]));
    assert!(status.contains("aws: new content refused since "), "{status}");
    // An operator lets it through, and takes it back.
    assert_eq!(world.refresh(&["aws", "--allow-moved", "20%"]), (0, "taken".into(), String::new()));
    assert_eq!(world.answer("52.1.0.0/16"), 2);
    let (code, outcome, _) = world.refresh(&["--previous", "aws", "--allow-moved", "0%"]);
    assert_eq!((code, &*outcome), (1, "refused"), "the way back is judged too");
    assert_eq!(world.refresh(&["--previous", "aws", "--allow-moved", "100%"]).1, "taken");
    assert_eq!((world.read("state/aws.json"), world.answer("52.1.0.0/16")), (first.clone(), 1));
    // The publisher still has it: it is not taken again, even if the guard would let it through.
    assert_eq!(world.refresh(&["aws", "--allow-moved", "100%"]), (0, "rejected".into(), String::new()));
    assert_eq!(world.read("state/aws.json"), first);
    let third = feed(&["3.0.0.0/9", "52.0.0.0/11", "54.0.0.0/20"]);
    origin.becomes(content(&third));
    assert_eq!(world.refresh(&["aws"]).1, "taken");
    assert_eq!(world.read("state/aws.json"), third);
}

#[test]
fn a_reload_judges_each_changed_source_alone() {
    let lists = "aws = { feed = \"aws\", file = \"aws.json\" }\nmore = { list = \"more.txt\", provider = \"aws\" }";
    let world = World::prepared(&config(lists, "guard = { }"));
    let put = |name: &str, text: &str| fs::write(world.path(name), text).unwrap();
    put("aws.json", &feed(&["3.0.0.0/9", "52.0.0.0/11"]));
    put("more.txt", "18.0.0.0/9\n");
    let mut world = world;
    world.run();
    let reload = |world: &World| {
        let output = world.command(&["reload", "--json"]);
        let view: Value = serde_json::from_slice(&output.stdout).unwrap();
        let kept: Vec<String> =
            view["kept"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_string()).collect();
        (output.status.code().unwrap(), kept)
    };
    let put = |world: &World, name: &str, text: &str| fs::write(world.path(name), text).unwrap();
    let kept = |name: &str, share: &str| {
        let what = "of the IPv4 addresses that rules decide for in horizon `all` would get other mirrors";
        format!("network `{name}` keeps its served prefixes (2): {share} % {what}")
    };
    // One source is cut short, the other changes a little: the second is served.
    put(&world, "aws.json", &feed(&["52.0.0.0/11"]));
    put(&world, "more.txt", "18.0.0.0/9\n54.0.0.0/16\n");
    assert_eq!(reload(&world), (1, vec![kept("aws", "44.4")]));
    assert_eq!((world.answer("3.64.0.0/16"), world.answer("54.0.0.0/24")), (1, 1));
    assert_eq!(world.server().metric("pharos_source_refused_total{source=\"aws\"}"), 1);
    // Each alone moves 2.8 % of the clients, and both together 5.5 %: both keep their prefixes.
    put(&world, "aws.json", &feed(&["3.0.0.0/9", "52.0.0.0/12", "52.16.0.0/13"]));
    put(&world, "more.txt", "18.0.0.0/10\n18.64.0.0/11\n18.96.0.0/12\n18.112.0.0/13\n54.0.0.0/16\n");
    assert_eq!(reload(&world), (1, vec![kept("aws", "5.5"), kept("more", "5.5")]));
    assert_eq!((world.answer("52.24.0.0/16"), world.answer("18.120.0.0/16")), (1, 1));
    // A typing error in a rule is refused as a whole, whatever the sources.
    let text = world.read("pharos.toml").replace("provider = \"aws\", mirrors", "provider = \"asw\", mirrors");
    put(&world, "pharos.toml", &text);
    let (code, kept) = reload(&world);
    assert_eq!((code, kept), (1, Vec::new()));
    assert_eq!(world.answer("3.64.0.0/16"), 1);
}
