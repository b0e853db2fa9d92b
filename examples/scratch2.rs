//! scratch
use pharos::{base::time::*, compile, wire::*};
fn q(name: &[u8], qtype: u16, ecs: Option<[u8; 3]>) -> Vec<u8> {
    let mut m = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    m.extend_from_slice(name);
    m.extend_from_slice(&qtype.to_be_bytes());
    m.extend_from_slice(&[0, 1, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0]);
    match ecs {
        Some(a) => {
            m.extend_from_slice(&[0, 11, 0, 8, 0, 7, 0, 1, 24, 0]);
            m.extend_from_slice(&a);
        }
        None => m.extend_from_slice(&[0, 0]),
    }
    m
}
fn main() {
    let arg = std::env::args().nth(1).unwrap();
    let built = compile::build(std::path::Path::new("pharos.toml"), Generation(1)).unwrap_or_else(|_| panic!());
    let n = b"\x04blob\x03k8s\x02io\0";
    let queries: Vec<Vec<u8>> = match arg.as_str() {
        "ecs" => (0..4096u32)
            .map(|i| {
                let a = i.wrapping_mul(2654435761).to_be_bytes();
                q(n, 1, Some([a[0], a[1], a[2]]))
            })
            .collect(),
        "static" => vec![q(b"\x03ns1\x04blob\x03k8s\x02io\0", 1, None)],
        "nx" => (0..4096u32)
            .map(|i| {
                let mut nm = format!("\x08{i:08x}").into_bytes();
                nm.extend_from_slice(n);
                q(&nm, 1, None)
            })
            .collect(),
        "ns" => vec![q(n, 2, None)],
        _ => panic!(),
    };
    let mut out = [0u8; 4096];
    let count = 5_000_000u32;
    let count = std::env::args().nth(2).map_or(count, |c| c.parse().unwrap());
    let t = std::time::Instant::now();
    let mut sum = 0;
    for i in 0..count {
        let m = &queries[(i as usize) % queries.len()];
        sum += respond(
            m,
            Peer { address: std::net::Ipv4Addr::new(127, 0, 0, 1).into(), transport: Transport::Udp },
            &built.snapshot,
            Moment(0),
            &mut out,
        )
        .unwrap()
        .len;
    }
    println!("{arg}: {:.1} ns, {sum}", t.elapsed().as_nanos() as f64 / f64::from(count));
}
