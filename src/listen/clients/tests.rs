//! Limits of connections, and evictions.

use super::*;

fn limits(connections: usize, per_client: usize) -> Limits {
    Limits { connections, per_client, beyond: BeyondLimit::Refuse, idle: Duration::from_secs(10) }
}

fn clients(connections: usize, per_client: usize) -> Arc<Clients> {
    Clients::new(limits(connections, per_client))
}

fn peer(text: &str) -> ConnectionPeer {
    ConnectionPeer::Address(text.parse().unwrap())
}

fn is_evicted(place: &ConnectionPlace) -> bool {
    place.seat.evicted.is_cancelled()
}

#[tokio::test(start_paused = true)]
async fn the_idlest_makes_room() {
    let clients = clients(2, 2);
    let first = clients.admit(peer("192.0.2.1")).unwrap();
    let second = clients.admit(peer("192.0.2.2")).unwrap();
    second.touch();
    tokio::time::advance(Duration::from_secs(1)).await;
    first.touch();
    let third = clients.admit(peer("192.0.2.3")).unwrap();
    assert!(is_evicted(&second));
    assert!(!is_evicted(&first) && !is_evicted(&third));
    drop(second);
    assert_eq!(clients.state().places.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_its_share_and_no_more() {
    let clients = clients(10, 2);
    let first = clients.admit(peer("2001:db8::1")).unwrap();
    let _second = clients.admit(peer("2001:db8::ffff:2")).unwrap();
    assert_eq!(clients.admit(peer("2001:db8::3")).unwrap_err(), OverClientLimit);
    assert!(clients.admit(peer("2001:db8:0:1::1")).is_ok());
    assert!(clients.admit(peer("192.0.2.1")).is_ok());
    drop(first);
    assert!(clients.admit(peer("2001:db8::3")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_over_its_share_closes_its_own_idlest_connection() {
    let clients = Clients::new(Limits { beyond: BeyondLimit::CloseIdlest, ..limits(10, 2) });
    let other = clients.admit(peer("192.0.2.2")).unwrap();
    let first = clients.admit(peer("192.0.2.1")).unwrap();
    let second = clients.admit(peer("192.0.2.1")).unwrap();
    first.touch();
    let third = clients.admit(peer("192.0.2.1")).unwrap();
    assert!(is_evicted(&second));
    assert!(!is_evicted(&first) && !is_evicted(&third) && !is_evicted(&other));
    let users: Vec<ConnectionPlace> = [0, 0, 0, 1].map(|uid| clients.admit(ConnectionPeer::User(uid)).unwrap()).into();
    assert_eq!(users.iter().map(is_evicted).collect::<Vec<_>>(), [true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_many_clients_and_still_one_of_all() {
    let clients = clients(4, 1);
    clients.set_exempt(PrefixSet::new(&["10.0.0.0/8".parse().unwrap()]));
    let proxied: Vec<ConnectionPlace> = (0..4).map(|_| clients.admit(peer("10.1.2.3")).unwrap()).collect();
    let _direct = clients.admit(peer("192.0.2.1")).unwrap();
    assert_eq!(clients.admit(peer("192.0.2.1")).unwrap_err(), OverClientLimit);
    assert_eq!(proxied.iter().filter(|place| is_evicted(place)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_idlest_of_all_groups_gives_its_descriptor() {
    let [first, second, third] = [(); 3].map(|()| clients(10, 10));
    tokio::time::advance(Duration::from_secs(100)).await;
    let later = clients(10, 10);
    let groups = Groups::default();
    [&first, &second, &second, &third, &later].into_iter().for_each(|clients| groups.add(clients));
    let busy = later.admit(peer("192.0.2.1")).unwrap();
    let idle = first.admit(peer("192.0.2.2")).unwrap();
    idle.touch();
    tokio::time::advance(Duration::from_secs(5)).await;
    busy.touch();
    let alone = third.admit(peer("192.0.2.3")).unwrap();
    let flood: Vec<ConnectionPlace> = (0..2).map(|_| second.admit(peer("192.0.2.4")).unwrap()).collect();
    let evicted = || [&flood[0], &flood[1], &alone, &idle, &busy].map(is_evicted);
    groups.evict_idlest();
    assert_eq!(evicted(), [true, false, false, false, false], "without activity, of the largest group");
    for number in 2..=5 {
        groups.evict_idlest();
        assert_eq!(evicted().iter().filter(|evicted| **evicted).count(), number);
        assert_eq!(is_evicted(&idle), number > 3, "then by the time of activity, whenever a group began");
    }
    groups.evict_idlest();
    drop(first);
    drop((busy, idle, alone, flood));
    groups.add(&second);
    assert_eq!(groups.0.lock().unwrap().len(), 3, "a group that is gone is forgotten");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_clients_that_left() {
    let clients = clients(2, 1);
    for i in 0..50 {
        drop(clients.admit(ConnectionPeer::Address(IpAddr::from([192, 0, 2, i]))).unwrap());
    }
    assert!(clients.state().places.is_empty() && clients.state().shares.is_empty());
}

#[tokio::test(start_paused = true)]
async fn connections_without_activity_take_places_from_each_other() {
    let clients = clients(3, 3);
    let open = clients.admit(peer("192.0.2.1")).unwrap();
    open.touch();
    tokio::time::advance(Duration::from_secs(5)).await;
    let slow = clients.admit(peer("192.0.2.2")).unwrap();
    let done = clients.admit(peer("192.0.2.3")).unwrap();
    done.touch();
    let _next = clients.admit(peer("192.0.2.4")).unwrap();
    assert!(is_evicted(&slow));
    assert!(!is_evicted(&open) && !is_evicted(&done));
}
