//! Zones that come from a primary, which an attacker may control.

use std::sync::{Arc, LazyLock};

use pharos::base::ids::{NodeId, ZoneId};
use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;
use pharos::base::time::Now;
use pharos::base::time::UnixTime;
use pharos::snapshot::Change;
use pharos::transfer::inbound::{self, Inbound, TransferProgress};
use pharos::wire::{self, Peer, Transport};
use pharos::zone::SignedZone;
use pharos::zone::{Difference, Record, Records, Zone, is_newer};

use super::{ADDRESS, NOW, SNAPSHOT, check_zone, frames};

/// The ID of the query that is answered.
const ID: u16 = 7;

/// The secondary's copy before the transfer: the zone of the cases, with its serial.
static HELD: LazyLock<Arc<Zone>> = LazyLock::new(|| SNAPSHOT.zones().base(ZoneId(0)).clone());

/// The messages of a primary's reply: to IXFR if the first byte is odd, else to AXFR.
///
/// The result is either a whole zone, which can be transferred again without a difference, or a refusal, which can be
/// printed.
pub fn transfers_in(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let have = (how % 2 == 1).then(|| HELD.clone());
    let apex = HELD.apex().to_owned();
    let mut inbound = Inbound::new(apex.clone(), have.clone(), ID, (SignedZone::Stripped, UnixTime::default()));
    for (_, message) in frames(rest) {
        let mut message = message.to_vec();
        if let Some(id) = message.first_chunk_mut() {
            *id = ID.to_be_bytes();
        }
        let _ = inbound::serial_of(&message, apex.as_name(), ID).map_err(|refusal| refusal.to_string());
        match inbound.take(&message) {
            Ok(TransferProgress::More) => {}
            Ok(TransferProgress::UpToDate) => {
                assert!(have.is_some(), "only what is held can be up to date");
                return;
            }
            Ok(TransferProgress::Zone(zone)) => return check(*zone, &apex),
            Err(refusal) => return drop(refusal.to_string()),
        }
    }
}

/// Checks a received zone, and that a transfer of it gives the same zone again.
fn check(zone: Zone, apex: &NameBuf) {
    assert!(zone.apex() == apex.as_name() && zone.is_available());
    check_zone(&zone);
    let zone = Arc::new(zone);
    let snapshot = SNAPSHOT.after(&Change::Zone(zone.clone()));
    let peer = Peer { address: ADDRESS, transport: Transport::Tcp };
    let now = Now { unix: NOW, ..Now::default() };
    let query = inbound::query(apex.as_name(), None, ID);
    let mut transfer = wire::transfer::begin(&query, peer, &snapshot, now).expect("everybody may have the zone");
    let mut inbound = Inbound::new(apex.clone(), None, ID, (SignedZone::Stripped, UnixTime::default()));
    let mut out = vec![0; wire::MAX_STREAM];
    while let Some(len) = transfer.next(NOW, &mut out) {
        match inbound.take(&out[..len]) {
            Ok(TransferProgress::More) => {}
            Ok(TransferProgress::Zone(again)) => {
                let difference = Difference::between(&zone, &again);
                assert!(difference.is_empty() && !is_newer(zone.serial(), again.serial()), "{difference:?}");
                return;
            }
            other => panic!("what we give away is not taken: {other:?}"),
        }
    }
    panic!("a transfer has an end");
}

/// The messages of a transfer of the zone of the cases, as [`frames`] reads them.
pub fn zone_messages(signed: bool) -> Vec<u8> {
    let peer = Peer { address: ADDRESS, transport: Transport::Tcp };
    let query = inbound::query(HELD.apex(), None, ID);
    let now = Now { unix: NOW, ..Now::default() };
    let mut transfer = wire::transfer::begin(&query, peer, &SNAPSHOT, now).expect("everybody may have the zone");
    let (mut out, mut all) = (vec![0; wire::MAX_STREAM], Vec::new());
    while let Some(len) = transfer.next(NOW, &mut out) {
        let head = len as u16 | if signed { 0x8000 } else { 0 };
        all.extend_from_slice(&head.to_be_bytes());
        all.extend_from_slice(&out[..len]);
    }
    all
}

/// Changes to the zone that is held, as [`frames`] reads them: a record goes, another comes, with the next serial.
pub fn change_messages() -> Vec<u8> {
    let soa = |serial: u32| {
        let (ttl, rdata) = HELD.soa().records().next().expect("a zone has an SOA");
        let mut rdata = rdata.to_vec();
        let at = rdata.len() - 20;
        rdata[at..at + 4].copy_from_slice(&serial.to_be_bytes());
        (Rtype::SOA, ttl, rdata)
    };
    let (old, new) = (HELD.serial(), HELD.serial().wrapping_add(1));
    let (ttl, gone) = HELD.node(NodeId(0)).rrset(Rtype::NS).and_then(|set| set.records().next()).expect("it has an NS");
    let gone = (Rtype::NS, ttl, gone.to_vec());
    let records = [soa(new), soa(old), gone, soa(new), (Rtype::A, ttl, vec![192, 0, 2, 1]), soa(new)];
    let mut wire = Records::default();
    for (rtype, ttl, rdata) in &records {
        wire.push(Record { owner: HELD.apex(), rtype: *rtype, ttl: *ttl, rdata });
    }
    let header = [0, ID as u8, 0x84, 0, 0, 0, 0, records.len() as u8, 0, 0, 0, 0];
    let len = (header.len() + wire.as_wire().len()) as u16;
    [&len.to_be_bytes()[..], &header, wire.as_wire()].concat()
}
