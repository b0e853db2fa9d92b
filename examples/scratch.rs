//! scratch
use pharos::{base::time::*, compile, wire::*};
fn main() {
    let built = match compile::build(std::path::Path::new("pharos.toml"), Generation(1)) {
        Ok(b) => b,
        Err(d) => {
            for d in d {
                println!("{}", d.render(pharos::base::diagnostic::Style::Plain));
            }
            return;
        }
    };
    for d in &built.warnings {
        println!("{}", d.render(pharos::base::diagnostic::Style::Plain));
    }
    let sock = std::net::UdpSocket::bind("127.0.0.1:5399").unwrap();
    let (mut b, mut o) = ([0u8; 4096], [0u8; 4096]);
    loop {
        let (n, p) = sock.recv_from(&mut b).unwrap();
        if let Some(r) =
            respond(&b[..n], Peer { address: p.ip(), transport: Transport::Udp }, &built.snapshot, Moment(0), &mut o)
        {
            sock.send_to(&o[..r.len], p).unwrap();
        }
    }
}
