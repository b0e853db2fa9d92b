//! Sources as their publishers have them: Microsoft's page, MaxMind's archives, nginx, a proxy.

use std::net::TcpListener;
use std::process::{Child, Stdio};

use super::common::needs;
use super::common::ports::free_port;
use super::*;

#[test]
fn the_file_of_the_week_is_found_on_the_page() {
    let azure = r#"{"changeNumber": 1, "cloud": "Public", "values": [{"name": "AzureCloud.eastus", "id": "AzureCloud.eastus",
        "properties": {"region": "eastus", "systemService": "", "addressPrefixes": ["20.0.0.0/9"]}}]}"#;
    let origin = Origin::new(content(""));
    let page = |date: &'static str, azure: &'static str| -> Behaviour {
        Box::new(move |header, stream| {
            let path = header.split(' ').nth(1).unwrap();
            stream.write_all(&match path {
                "/details.aspx?id=56519" => {
                    let page = format!("<!DOCTYPE html><a href=\"/files/ServiceTags_Public_{date}.json\">Download</a>");
                    response("200 OK", "Content-Type: text/html\r\n", page.as_bytes())
                }
                _ if path == format!("/files/ServiceTags_Public_{date}.json") => {
                    response("200 OK", "", azure.as_bytes())
                }
                _ => response("404 Not Found", "", b""),
            })
        })
    };
    let azure: &'static str = Box::leak(azure.to_string().into());
    origin.becomes(page("20261117", azure));
    let url = origin.url("/details.aspx?id=56519");
    let networks = format!("azure = {{ feed = \"azure\", url = \"{url}\", file = \"state/azure.json\" }}");
    let world = World::start(&config(&networks, "").replace("provider = \"aws\"", "provider = \"azure\""));
    world.server().wait_for("network azure: its new content is served");
    assert_eq!(world.answer("20.1.0.0/16"), 1);
    let next: &'static str = Box::leak(azure.replace("20.0.0.0/9\"", "20.0.0.0/9\", \"40.0.0.0/16\"").into());
    origin.becomes(page("20261124", next));
    assert_eq!(world.refresh(&[]).1, "taken");
    assert_eq!(world.answer("40.0.1.0/24"), 1);
    origin.becomes(content("<html>The page has moved</html>"));
    let (code, outcome, why) = world.refresh(&[]);
    assert!((code, &*outcome) == (1, "failed") && why.contains("names no file of service tags"), "{outcome}: {why}");
}

#[test]
fn a_database_comes_as_maxmind_publishes_it() {
    let Some(database) = needs::data("GeoLite2-Country-Test.mmdb") else { return };
    let database = fs::read(database).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in
        [("GeoLite2_20261124/LICENSE.txt", &b"free"[..]), ("GeoLite2_20261124/GeoLite2-Country.mmdb", &database)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).unwrap();
    }
    let archive = gzip(&archive.into_inner().unwrap());
    let digest = |bytes: &[u8]| {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let store = Origin::new(always(response("200 OK", "ETag: \"a\"\r\n", &archive)));
    // Another host of the same machine, to which the account must not go.
    let presigned = format!("http://localhost:{}/object?signature=x", store.address.port());
    let listed = format!("{}  GeoLite2-Country_20261124.tar.gz\n", digest(&archive));
    let maxmind = |listed: String| -> Behaviour {
        let presigned = presigned.clone();
        Box::new(move |header, stream| {
            let path = header.split(' ').nth(1).unwrap();
            let is_known = header.to_ascii_lowercase().contains("authorization: basic mtizndu2om15lwtles1mb3itdgvzda");
            stream.write_all(&match path {
                _ if !is_known => response("401 Unauthorized", "", b""),
                "/download?suffix=tar.gz" => response("302 Found", &format!("Location: {presigned}\r\n"), b""),
                "/download?suffix=tar.gz.sha256" => response("200 OK", "", listed.as_bytes()),
                _ => response("404 Not Found", "", b""),
            })
        })
    };
    let origin = Origin::new(maxmind(listed));
    let networks = format!(
        "geo = {{ mmdb = \"state/geo.mmdb\", url = \"{}\", account = \"123456\", key-file = \"key\" }}",
        origin.url("/download?suffix=tar.gz")
    );
    let mut world = World::prepared(&config(&networks, "").replace("provider = \"aws\"", "country = \"GB\""));
    fs::write(world.path("key"), "my-key-for-test").unwrap();
    Command::new("chmod").arg("600").arg(world.path("key")).status().unwrap();
    world.run();
    world.server().wait_for("network geo: its new content is served");
    assert!(fs::read(world.path("state/geo.mmdb")).unwrap() == database);
    assert!(store.requests().iter().all(|header| !header.to_ascii_lowercase().contains("authorization")));
    assert_eq!(world.answer("2.125.160.216/32"), 1, "of the United Kingdom in MaxMind's test data");
    // An archive that is not the one of the digest.
    origin.becomes(maxmind(format!("{}  x.tar.gz\n", digest(b"another"))));
    store.becomes(always(response("200 OK", "ETag: \"b\"\r\n", &gzip(b"damaged on the way"))));
    let (code, outcome, why) = world.refresh(&["geo"]);
    assert!((code, &*outcome) == (1, "failed") && why.contains("digest"), "{outcome}: {why}");
    assert!(fs::read(world.path("state/geo.mmdb")).unwrap() == database);
}

/// nginx, which ends with this.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx with this server, whose root is `www` in the folder.
fn nginx(folder: &Path, port: u16, server: &str) -> Option<Nginx> {
    let program = needs::program("nginx", "nginx")?;
    let path = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
        .concat();
    let text = format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {path}/nginx.pid;\nerror_log stderr;\nevents {{ }}\n\
         http {{\naccess_log {path}/access.log;\n{temporary}root {path}/www;\ntypes {{ application/json json; }}\n\
         server {{ {server} }}\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), text).unwrap();
    fs::create_dir_all(folder.join("www")).unwrap();
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    let child = Nginx(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let deadline = std::time::Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < deadline, "nginx does not listen");
        std::thread::yield_now();
    }
    Some(child)
}

#[test]
fn nginx_answers_304_and_sends_gzip() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let server = format!("listen 127.0.0.1:{port}; gzip on; gzip_types application/json; gzip_min_length 1;");
    fs::create_dir_all(folder.path().join("www")).unwrap();
    let feed_file = folder.path().join("www/aws.json");
    fs::write(&feed_file, feed_with(&[])).unwrap();
    let Some(_nginx) = nginx(folder.path(), port, &server) else { return };
    let world = World::start(&config(&aws(&format!("http://127.0.0.1:{port}/aws.json"), ""), ""));
    world.server().wait_for("its new content is served");
    assert_eq!(world.refresh(&[]).1, "unchanged");
    let log = || fs::read_to_string(folder.path().join("access.log")).unwrap();
    assert!(log().lines().last().unwrap().contains("\" 304 0 "), "{}", log());
    fs::write(&feed_file, feed_with(&["52.0.0.0/30"])).unwrap();
    assert_eq!(world.refresh(&[]).1, "taken");
    assert_eq!(world.answer("52.0.0.1/32"), 1);
    fs::remove_file(&feed_file).unwrap();
    let (code, outcome, why) = world.refresh(&[]);
    assert!((code, &*outcome) == (1, "failed") && why.contains("404"), "{why}");
}

/// A proxy that connects to one address, whatever the host, and notes the hosts.
fn proxy(to: u16) -> (u16, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, hosts) = (listener.local_addr().unwrap().port(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let noted = hosts.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let noted = noted.clone();
            std::thread::spawn(move || {
                use std::io::Read as _;
                let (mut header, mut byte) = (Vec::new(), [0]);
                while !header.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap_or(0) == 1 {
                    header.push(byte[0]);
                }
                let header = String::from_utf8(header).unwrap();
                noted.lock().unwrap().push(header.lines().next().unwrap_or_default().to_string());
                let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                let (mut from, mut back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut back));
                let _ = std::io::copy(&mut server, &mut client);
            });
        }
    });
    (port, hosts)
}

#[test]
fn https_goes_through_a_proxy_and_the_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_pharos"))
        .args(["certs", "--name", "feeds.example", "--mirror", "feeds", "--folder"])
        .arg(folder.path().join("certs"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let path = |name: &str| folder.path().join("certs").join(name);
    let port = free_port();
    let server = format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};",
        path("feeds.pem").display(),
        path("feeds.key").display()
    );
    fs::create_dir_all(folder.path().join("www")).unwrap();
    fs::write(folder.path().join("www/aws.json"), feed_with(&[])).unwrap();
    let Some(_nginx) = nginx(folder.path(), port, &server) else { return };
    let (proxy_port, hosts) = proxy(port);
    let refresh = format!("refresh = {{ proxy = \"http://127.0.0.1:{proxy_port}\" }}");
    let mut world = World::prepared(&config(&aws("https://feeds.example/aws.json", ""), &refresh));
    // Without the authority among the roots, the certificate is not accepted.
    world.run();
    world.server().wait_for("network aws was not fetched: failed to fetch from feeds.example: through the proxy");
    world.server = None;
    let roots = path("ca.pem");
    world.server = Some(Server::start_with(&world.path("pharos.toml"), &[("SSL_CERT_FILE", &roots)]));
    world.server().wait_for("its new content is served");
    assert_eq!(world.answer("3.64.0.0/16"), 1);
    let hosts = hosts.lock().unwrap();
    assert!(hosts.iter().all(|line| line == "CONNECT feeds.example:443 HTTP/1.1"), "{hosts:?}");
}
