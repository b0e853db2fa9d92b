//! Alerts and the dashboard: their expressions parse, name metrics and labels of `docs/metrics.md` (which another test
//! compares with the server), and alert under the right conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use super::{done, needs, root};

/// Labels that Prometheus adds to every sample.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];

/// The labels of each series by its name, as the table of metrics has them.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut found = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `pharos_")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, kind) = (cells[1].trim_matches('`'), cells[2]);
        let mut labels: BTreeSet<String> = cells[3]
            .split(", ")
            .map(|label| label.trim_matches('`').to_string())
            .filter(|label| !label.is_empty())
            .collect();
        labels.extend(OF_PROMETHEUS.map(String::from));
        if kind == "histogram" {
            for suffix in ["_sum", "_count"] {
                found.insert(format!("{name}{suffix}"), labels.clone());
            }
            labels.insert("le".into());
            found.insert(format!("{name}_bucket"), labels);
        } else {
            found.insert(name.to_string(), labels);
        }
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

/// The faults of an expression: series and labels that the server does not have.
fn unknown(expression: &str, series: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<(usize, &str)> = expression
        .match_indices("pharos_")
        .map(|(at, _)| {
            let rest = &expression[at..];
            (at, &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())])
        })
        .collect();
    let mut wrong = Vec::new();
    let mut labels = BTreeSet::new();
    for (at, name) in &words {
        let Some(known) = series.get(*name) else {
            wrong.push(format!("no series {name}"));
            continue;
        };
        labels.extend(known.iter().cloned());
        let behind = &expression[at + name.len()..];
        let matchers = behind.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        for matcher in matchers.split(',').filter(|matcher| !matcher.is_empty()) {
            let label = matcher.split(['=', '!']).next().unwrap().trim();
            if !known.contains(label) {
                wrong.push(format!("{name} has no label {label}"));
            }
        }
    }
    if words.is_empty() {
        wrong.push("no series of Pharos".into());
    }
    // `by (…)` and `on (…)` name labels of the series in the expression.
    for grouping in expression.split(" by (").skip(1).chain(expression.split(" on (").skip(1)) {
        for label in grouping.split(')').next().unwrap().split(',') {
            if !labels.contains(label.trim()) {
                wrong.push(format!("no label {}", label.trim()));
            }
        }
    }
    wrong.into_iter().map(|why| format!("{why}: {expression}")).collect()
}

/// The expressions of the dashboard's panels, by title, with Grafana's variables replaced.
fn dashboard() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("deploy/grafana/pharos.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap().to_string();
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(panel["type"] == "row" || !targets.is_empty(), "{title} has no expression");
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            found.push((title.clone(), expression.replace("$__rate_interval", "5m").replace("$instance", ".*")));
        }
    }
    found
}

/// The expressions of the alerts: one line, or the lines of a folded block.
fn alerts() -> Vec<String> {
    let text = fs::read_to_string(root().join("deploy/prometheus/pharos.rules.yml")).unwrap();
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.trim_start().strip_prefix("expr: ") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut expression = if first == ">-" { String::new() } else { first.to_string() };
        while let Some(next) = lines.next_if(|next| next.len() - next.trim_start().len() > indent) {
            expression.push_str(&format!(" {}", next.trim()));
        }
        found.push(expression);
    }
    found
}

#[test]
fn every_expression_names_metrics_of_the_server() {
    let series = series();
    let alerts = alerts();
    assert_eq!(
        alerts.len(),
        fs::read_to_string(root().join("deploy/prometheus/pharos.rules.yml")).unwrap().matches("- alert:").count()
    );
    let dashboard = dashboard();
    assert!(dashboard.len() > 30);
    let expressions = alerts.iter().chain(dashboard.iter().map(|(_, expression)| expression));
    let wrong: Vec<String> = expressions.flat_map(|expression| unknown(expression, &series)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Metrics that an operator looks at as a whole: each has a panel.
const WITH_PANELS: [&str; 4] =
    ["pharos_acme_", "pharos_dnstap_", "pharos_http_clients_total", "pharos_http_log_lines_total"];

#[test]
fn clouds_the_request_log_and_challenges_have_panels() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names: Vec<&str> = rows.map(|(name, _)| name).collect();
    let dashboard = dashboard();
    for start in WITH_PANELS {
        let of_start: Vec<_> = names.iter().filter(|name| name.starts_with(start)).collect();
        assert!(!of_start.is_empty(), "no metric is named {start}");
        let shown = |name: &str| dashboard.iter().any(|(_, expression)| expression.contains(&format!("{name}{{")));
        let missing: Vec<_> = of_start.into_iter().filter(|name| !shown(name)).collect();
        assert!(missing.is_empty(), "no panel shows {missing:?}");
    }
}

#[test]
fn panels_do_not_overlap() {
    let text = fs::read_to_string(root().join("deploy/grafana/pharos.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (mut cells, mut ids) = (BTreeMap::new(), BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another panel");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{title} is beyond the 24 columns");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = cells.insert(cell, title) {
                panic!("{title} is on top of {other}");
            }
        }
    }
}

#[test]
fn a_renamed_metric_or_label_is_found() {
    let series = series();
    let wrong = |expression: &str| unknown(expression, &series).len();
    assert_eq!(wrong("sum by (mirror) (rate(pharos_dns_steered_total{tier=\"preferred\"}[5m]))"), 0);
    assert_eq!(wrong("pharos_mirror_upp == 0"), 1);
    assert_eq!(wrong("pharos_mirror_up{mirrors=\"x\"} == 0"), 1);
    assert_eq!(wrong("sum by (rcode) (pharos_mirror_up)"), 1);
    assert_eq!(wrong("vector(0)"), 1);
}

#[test]
fn alerts_fire_when_they_should() {
    let Some(promtool) = needs::program("promtool", "prometheus") else { return };
    let folder = root().join("deploy/prometheus");
    done(Command::new(&promtool).args(["test", "rules", "tests/pharos.rules.test.yml"]).current_dir(&folder));
    // The files beside the rules are rules too: operators check all of them at once.
    let shell = "promtool check rules deploy/prometheus/*.y*ml";
    done(Command::new("sh").args(["-c", shell]).current_dir(root()));
    // Each alert has such a test.
    let tests = fs::read_to_string(folder.join("tests/pharos.rules.test.yml")).unwrap();
    let rules = fs::read_to_string(folder.join("pharos.rules.yml")).unwrap();
    for alert in rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("- alertname: {alert}\n")), "no test sees {alert} fire");
    }
}

#[test]
fn prometheus_reads_every_expression_of_the_dashboard() {
    let Some(promtool) = needs::program("promtool", "prometheus") else { return };
    let rule = |(at, (_, expression)): (usize, (String, String))| serde_json::json!({ "record": format!("panel:{at}"), "expr": expression });
    let rules: Vec<serde_json::Value> = dashboard().into_iter().enumerate().map(rule).collect();
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    // JSON is YAML.
    fs::write(&file, serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string()).unwrap();
    done(Command::new(promtool).args(["check", "rules", "--lint=none"]).arg(file.path()));
}
