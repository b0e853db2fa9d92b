//! The system calls that no safe library offers: datagrams in batches, two socket options, the limit on open files,
//! locks on files, large pages, and prefetch of memory.
//!
//! In: sockets. Out: whole batches of datagrams, and room for their replies.
//!
//! **Invariants**: this is the only file with `unsafe` in it. The kernel is given pointers only into a [`Batch`]'s own
//! memory. That memory does not move, and no code touches it while a call runs. It is read only up to the length that the
//! kernel returned. No call allocates.
//! **Not here**: the contents of a datagram ([`crate::dns`]); anything that std, `socket2` or tokio can do.

#![allow(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, setrlimit, flock and prefetching have no safe form in the libraries we use"
)]
#![allow(clippy::unnecessary_cast, reason = "some C libraries have other widths for the same fields")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::{MsgHdr, SockAddr, SockRef};

/// The most datagrams that a batch can be made for: the largest that can be configured.
pub(crate) const MAX_BATCH: usize = 128;

/// The room for one datagram in either direction, in bytes.
///
/// The largest UDP payload that can be configured; we advertise no more, so a longer datagram is not from a resolver.
pub(crate) const MAX_DATAGRAM: usize = 4096;

/// Room for one datagram, and one cache line. Most datagrams touch only the first lines of a room. With 4096 bytes alone,
/// these lines of all rooms would fall into the same set of the CPU's cache.
#[repr(C, align(64))]
struct DatagramRoom([u8; MAX_DATAGRAM + 64]);

/// Room for one control message, which is `IP_PKTINFO` or `IPV6_PKTINFO`.
#[repr(C, align(8))]
struct ControlMessage {
    header: libc::cmsghdr,
    /// `in_pktinfo`: interface, local address, destination, four bytes each. `in6_pktinfo`: address, then interface.
    data: [u8; 24],
}

impl ControlMessage {
    /// The first `len` bytes, or all of it.
    fn octets(&self, len: usize) -> Vec<u8> {
        let start = ptr::from_ref(self).cast::<u8>();
        // SAFETY: the message is plain bytes without padding, and the length is within it.
        unsafe { std::slice::from_raw_parts(start, len.min(size_of::<ControlMessage>())) }.to_vec()
    }
}

const V4_PKTINFO_LEN: usize = size_of::<libc::cmsghdr>() + 12;
const V6_PKTINFO_LEN: usize = size_of::<libc::cmsghdr>() + 20;

/// The memory that the kernel reads and writes. All zeroes is a valid state, and there is nothing to drop.
struct KernelMemory {
    rooms_in: [DatagramRoom; MAX_BATCH],
    rooms_out: [DatagramRoom; MAX_BATCH],
    peers: [libc::sockaddr_in6; MAX_BATCH],
    controls: [ControlMessage; MAX_BATCH],
    vectors_in: [libc::iovec; MAX_BATCH],
    vectors_out: [libc::iovec; MAX_BATCH],
    headers_in: [libc::mmsghdr; MAX_BATCH],
    headers_out: [libc::mmsghdr; MAX_BATCH],
}

/// Buffers for one batch of datagrams and their replies; made once per thread.
pub(crate) struct Batch {
    /// Owned. Raw, because the headers inside hold pointers into it; a `Box` would not allow that.
    memory: *mut KernelMemory,
    /// The most datagrams taken or sent by one system call, 1 to [`MAX_BATCH`].
    most: usize,
    received: usize,
    replies: usize,
}

// SAFETY: the memory belongs to this value alone, and nothing in it is tied to a thread.
unsafe impl Send for Batch {}

/// The wait for a first datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until there is one, or the socket is shut down.
    Forever,
    /// Not at all.
    Never,
}

/// One datagram of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datagram<'b> {
    /// It is here in full.
    Whole {
        /// Its payload.
        bytes: &'b [u8],
        /// The address and port of its sender.
        peer: SocketAddr,
        /// The address that it was sent to; `None` unless the socket has the wildcard address.
        local: Option<IpAddr>,
    },
    /// It is longer than [`MAX_DATAGRAM`].
    TooLong,
    /// There was none: the socket is shut down.
    None,
}

/// The way back to the sender of a datagram, for a reply that comes after its batch.
#[derive(Debug)]
pub(crate) struct WayBack {
    peer: SocketAddr,
    /// The control message that has the reply leave from the address asked; empty unless the socket has the wildcard address.
    control: Vec<u8>,
}

impl WayBack {
    /// The sender.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends a reply, without ever waiting.
    pub(crate) fn send(&self, socket: &UdpSocket, reply: &[u8]) -> io::Result<()> {
        let (peer, parts) = (SockAddr::from(self.peer), [io::IoSlice::new(reply)]);
        let message = MsgHdr::new().with_addr(&peer).with_buffers(&parts);
        let message = if self.control.is_empty() { message } else { message.with_control(&self.control) };
        SockRef::from(socket).sendmsg(&message, libc::MSG_DONTWAIT).map(drop)
    }
}

impl Batch {
    /// Reserves the buffers for `most` datagrams at once. The system gives a page memory only when it is first written.
    ///
    /// If the socket is bound to the wildcard address, each reply leaves from the address that its query was sent to.
    pub(crate) fn new(is_wildcard: bool, most: usize) -> Self {
        let most = most.clamp(1, MAX_BATCH);
        let layout = Layout::new::<KernelMemory>();
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc_zeroed(layout) }.cast::<KernelMemory>();
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        for i in 0..MAX_BATCH {
            // SAFETY: `memory` is valid, owned, and zeroed, which is a valid `KernelMemory`; `i` is within the arrays. The
            // pointers stored are derived from `memory` itself, so that later use of `memory` keeps them valid.
            unsafe {
                (*memory).vectors_in[i].iov_base = (&raw mut (*memory).rooms_in[i].0).cast();
                (*memory).vectors_in[i].iov_len = MAX_DATAGRAM;
                (*memory).vectors_out[i].iov_base = (&raw mut (*memory).rooms_out[i].0).cast();
                let header = &raw mut (*memory).headers_in[i].msg_hdr;
                (*header).msg_name = (&raw mut (*memory).peers[i]).cast();
                (*header).msg_iov = &raw mut (*memory).vectors_in[i];
                (*header).msg_iovlen = 1;
                if is_wildcard {
                    (*header).msg_control = (&raw mut (*memory).controls[i]).cast();
                }
                let header = &raw mut (*memory).headers_out[i].msg_hdr;
                (*header).msg_iov = &raw mut (*memory).vectors_out[i];
                (*header).msg_iovlen = 1;
            }
        }
        // The first `receive` prepares all headers.
        Batch { memory, most, received: MAX_BATCH, replies: 0 }
    }

    /// The most datagrams taken at once.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Takes the datagrams that wait, up to [`Batch::most`]; returns their number.
    #[inline]
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, wait: Wait) -> io::Result<usize> {
        // The kernel overwrote the lengths of the headers that it used last time. It did not change the other headers.
        for i in 0..self.received {
            // SAFETY: `memory` is valid and no call runs; `i` is within the array.
            let header = unsafe { &mut (*self.memory).headers_in[i].msg_hdr };
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_controllen = if header.msg_control.is_null() { 0 } else { size_of::<ControlMessage>() as _ };
        }
        (self.received, self.replies) = (0, 0);
        let flags = match wait {
            Wait::Forever => libc::MSG_WAITFORONE,
            Wait::Never => libc::MSG_DONTWAIT,
        };
        // SAFETY: the headers are `most` in number or more, and each points to a peer, a vector, a room of the length that the
        // vector says, and a control of the length that the header says, all in `memory`, which we hold exclusively.
        let result = unsafe {
            let headers = (&raw mut (*self.memory).headers_in).cast();
            libc::recvmmsg(socket.as_raw_fd(), headers, self.most as _, flags as _, ptr::null_mut())
        };
        if result < 0 {
            // Some headers may have been written to before the error.
            self.received = self.most;
            return Err(io::Error::last_os_error());
        }
        self.received = result as usize;
        Ok(self.received)
    }

    /// The datagrams received.
    #[inline]
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.received).map(|i| {
            // SAFETY: `memory` is valid and no call runs; `i` is below `MAX_BATCH`; nothing is borrowed mutably meanwhile.
            let memory = unsafe { &*self.memory };
            datagram(&memory.headers_in[i], &memory.peers[i], &memory.rooms_in[i], None)
        })
    }

    /// Hands over each datagram received, with [`MAX_DATAGRAM`] bytes of room, and takes the length of the reply.
    #[inline]
    pub(crate) fn reply(&mut self, mut respond: impl FnMut(Datagram<'_>, &mut [u8]) -> Option<usize>) {
        for i in 0..self.received {
            // SAFETY: `memory` is valid and no call runs; `i` and `replies`, which is at most `i`, are below `MAX_BATCH`.
            // The fields borrowed are distinct, and only `rooms_out[replies]` is borrowed mutably.
            let (datagram, room) = unsafe {
                let memory = self.memory;
                let header = &(*memory).headers_in[i];
                let control = Some(&(*memory).controls[i]);
                let datagram = datagram(header, &(*memory).peers[i], &(*memory).rooms_in[i], control);
                (datagram, &mut (&mut (*memory).rooms_out[self.replies].0)[..MAX_DATAGRAM])
            };
            if let Some(len) = respond(datagram, room) {
                assert!(len <= MAX_DATAGRAM, "a reply is no longer than the room for it");
                self.address(i, len);
            }
        }
    }

    /// A datagram of the batch by its place, with the way back to its sender; `None` if it was not whole.
    pub(crate) fn way_back(&mut self, i: usize) -> Option<(&[u8], WayBack)> {
        assert!(i < self.received, "a place is that of a datagram of the batch");
        // SAFETY: `memory` is valid and no call runs; `i` is below `MAX_BATCH`. The fields borrowed are distinct, and only
        // the control is borrowed mutably.
        let (header, datagram, control) = unsafe {
            let memory = self.memory;
            let header = &(*memory).headers_in[i];
            let datagram = datagram(header, &(*memory).peers[i], &(*memory).rooms_in[i], None);
            (&header.msg_hdr, datagram, &mut (*memory).controls[i])
        };
        let Datagram::Whole { bytes, peer, .. } = datagram else { return None };
        let len = header.msg_controllen as usize;
        let has_address = !header.msg_control.is_null() && len >= size_of::<libc::cmsghdr>();
        let control = if has_address && forget_interface(control) { control.octets(len) } else { Vec::new() };
        Some((bytes, WayBack { peer, control }))
    }

    /// Makes the next reply's header: `len` bytes, to the source of datagram `i`, from the destination of datagram `i`.
    #[inline]
    fn address(&mut self, i: usize, len: usize) {
        // SAFETY: `memory` is valid and no call runs; `i` and `replies` are below `MAX_BATCH`; the fields are distinct.
        // The name and control that the reply's header points to are those of datagram `i`, with the lengths that the
        // kernel gave for them, and stay untouched until the next `receive`.
        unsafe {
            let memory = self.memory;
            (*memory).vectors_out[self.replies].iov_len = len;
            let received = &(*memory).headers_in[i].msg_hdr;
            let out = &mut (*memory).headers_out[self.replies].msg_hdr;
            out.msg_name = received.msg_name;
            out.msg_namelen = received.msg_namelen;
            out.msg_control = ptr::null_mut();
            out.msg_controllen = 0;
            if !received.msg_control.is_null()
                && received.msg_controllen as usize >= size_of::<libc::cmsghdr>()
                && forget_interface(&mut (*memory).controls[i])
            {
                out.msg_control = received.msg_control;
                out.msg_controllen = received.msg_controllen;
            }
        }
        self.replies += 1;
    }

    /// Sends the replies, without ever waiting. `failed` gets the error and the number of replies that were given up: one, or
    /// the rest of the batch.
    #[inline]
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, mut failed: impl FnMut(io::Error, usize)) {
        let mut sent = 0;
        while sent < self.replies {
            let left = self.replies - sent;
            // SAFETY: headers from `sent` on, `left` in number, are within the array, and each points to a peer, a
            // vector of one room, and a control or nothing, all in `memory`, which we hold exclusively.
            let result = unsafe {
                let headers = (&raw mut (*self.memory).headers_out[sent]).cast();
                libc::sendmmsg(socket.as_raw_fd(), headers, left as _, libc::MSG_DONTWAIT as _)
            };
            if result > 0 {
                // Fewer than all were sent: the next call returns the error of the first reply that is left.
                sent += result as usize;
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                // The send queue is full, also for the rest. Waiting would keep queries from being read.
                io::ErrorKind::WouldBlock => {
                    failed(error, left);
                    sent = self.replies;
                }
                // The error is about this one reply: no route, a firewall, port 0.
                _ => {
                    failed(error, 1);
                    sent += 1;
                }
            }
        }
        self.replies = 0;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: `memory` was allocated with this layout, is owned, and has nothing in it to drop.
        unsafe { dealloc(self.memory.cast(), Layout::new::<KernelMemory>()) }
    }
}

#[inline]
fn datagram<'b>(
    header: &libc::mmsghdr,
    peer: &libc::sockaddr_in6,
    room: &'b DatagramRoom,
    control: Option<&ControlMessage>,
) -> Datagram<'b> {
    if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
        return Datagram::TooLong;
    }
    match peer_address(peer, header.msg_hdr.msg_namelen as usize) {
        Some(peer) => {
            let local = control.and_then(|control| destination(&header.msg_hdr, control));
            Datagram::Whole { bytes: &room.0[..header.msg_len as usize], peer, local }
        }
        None => Datagram::None,
    }
}

/// The address in a received control message; `None` if there is none.
#[inline]
fn destination(header: &libc::msghdr, control: &ControlMessage) -> Option<IpAddr> {
    let len = header.msg_controllen as usize;
    if header.msg_control.is_null() || len < size_of::<libc::cmsghdr>() {
        return None;
    }
    let of = &control.header;
    match (of.cmsg_level, of.cmsg_type, of.cmsg_len as usize) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO, V4_PKTINFO_LEN) => {
            control.data[4..8].first_chunk::<4>().map(|v4| Ipv4Addr::from(*v4).into())
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, V6_PKTINFO_LEN) => {
            control.data.first_chunk::<16>().map(|v6| Ipv6Addr::from(*v6).into())
        }
        _ => None,
    }
}

/// The address in a `sockaddr_in` or `sockaddr_in6`; `None` if the kernel wrote none.
#[inline]
fn peer_address(peer: &libc::sockaddr_in6, len: usize) -> Option<SocketAddr> {
    match libc::c_int::from(peer.sin6_family) {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // Both kinds begin with family and port; the IPv4 address stands where IPv6 has its flow label.
            const _: () = assert!(
                offset_of!(libc::sockaddr_in, sin_addr) == offset_of!(libc::sockaddr_in6, sin6_flowinfo)
                    && offset_of!(libc::sockaddr_in, sin_port) == offset_of!(libc::sockaddr_in6, sin6_port)
            );
            let address = Ipv4Addr::from_bits(u32::from_be(peer.sin6_flowinfo));
            Some(SocketAddr::V4(SocketAddrV4::new(address, u16::from_be(peer.sin6_port))))
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            let address = Ipv6Addr::from(peer.sin6_addr.s6_addr);
            let (port, scope) = (u16::from_be(peer.sin6_port), peer.sin6_scope_id);
            Some(SocketAddr::V6(SocketAddrV6::new(address, port, 0, scope)))
        }
        _ => None,
    }
}

/// Turns a received control message into one to send: the same local address, by whichever interface routing says.
///
/// With the interface left in, a reply would leave by the interface of its query, even if it has no route to the resolver.
#[inline]
fn forget_interface(control: &mut ControlMessage) -> bool {
    let header = &control.header;
    match (header.cmsg_level, header.cmsg_type, header.cmsg_len as usize) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO, V4_PKTINFO_LEN) => control.data[0..4].fill(0),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, V6_PKTINFO_LEN) => control.data[16..20].fill(0),
        _ => return false,
    }
    true
}

/// The fragmentation of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragments {
    /// No fragmentation: a reply that exceeds the MTU of a link is lost.
    Never,
    /// A reply that exceeds the MTU of our own link leaves in fragments.
    Allowed,
}

/// Prepares an unconnected UDP socket of the given family for [`Batch`]; true if it is bound to the wildcard address.
pub(crate) fn prepare_udp(socket: BorrowedFd<'_>, address: SocketAddr, fragments: Fragments) -> io::Result<bool> {
    let is_wildcard = address.ip().is_unspecified();
    set_fragments(socket, address, fragments)?;
    if is_wildcard {
        let (level, info) = match address {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        };
        set_option(socket, level, info, 1)?;
    }
    Ok(is_wildcard)
}

/// Sets the fragmentation of datagrams that a UDP socket of the given family sends.
///
/// In both cases the kernel ignores a path MTU learnt from ICMP, because any host can forge one. A datagram that is never
/// fragmented needs no identification number. For other datagrams, the kernel chooses numbers that no host can guess.
pub(crate) fn set_fragments(socket: BorrowedFd<'_>, address: SocketAddr, fragments: Fragments) -> io::Result<()> {
    let (level, name, never, allowed) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, libc::IP_PMTUDISC_OMIT),
        SocketAddr::V6(_) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE, libc::IPV6_PMTUDISC_OMIT)
        }
    };
    set_option(socket, level, name, if fragments == Fragments::Never { never } else { allowed })
}

fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to a `c_int` of the length given, and is read only during the call.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) })
}

/// The error of a system call that has just returned, if it failed.
fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Locks a file for this process alone, until it is closed; [`io::ErrorKind::WouldBlock`] if another process has it.
///
/// The standard library has this from Rust 1.89 on.
pub(crate) fn try_lock(file: &std::fs::File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as the call takes, and the call touches no memory.
    checked(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })
}

/// The size of a large page, where there are any: 2 MiB on x86-64 and on most ARM systems.
const LARGE_PAGE: usize = 2 << 20;

#[cfg(not(target_env = "musl"))]
use libc::MADV_COLLAPSE;
/// `libc` has the constant for glibc alone; the kernel's number is the same (`asm-generic/mman-common.h`).
#[cfg(target_env = "musl")]
const MADV_COLLAPSE: libc::c_int = 25;

/// Asks the system to put a table in use into large pages, as far as it fills whole ones.
///
/// Otherwise a look-up in many megabytes waits for the page's address before it waits for the data. Before Linux 6.1, the
/// system collapses pages only over time; a kernel without large pages refuses. Then nothing changes.
pub(crate) fn prefer_large_pages(area: Range<*const u8>) {
    let start = (area.start as usize).next_multiple_of(LARGE_PAGE);
    let end = area.end as usize / LARGE_PAGE * LARGE_PAGE;
    if start >= end {
        return;
    }
    for advice in [MADV_COLLAPSE, libc::MADV_HUGEPAGE] {
        // SAFETY: neither advice changes the contents of the memory or its permissions, whichever its owner.
        if unsafe { libc::madvise(start as *mut libc::c_void, end - start, advice) } == 0 {
            return;
        }
    }
}

/// Prefetches memory without waiting for it. Any address is allowed, also one without memory.
#[inline]
pub(crate) fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and it neither fails nor changes anything, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction is a hint: it neither fails nor changes anything, whatever the address.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}

/// Raises the limit on open files to the highest value allowed; returns the new limit.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a `rlimit` that lives through the call.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above; the call only reads.
        checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// Keeps other processes of this user from reading the memory of this process, and the system from writing it to a core
/// file, because it has the keys of certificates, transfers and cookies.
pub(crate) fn forbid_dumps() -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0 as libc::c_ulong, 0, 0, 0) })
}

/// The system's monotonic clock in microseconds, as a supervisor reads it; std does not give the value of an `Instant`.
pub(crate) fn monotonic_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` that lives through the call. It cannot fail: the clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn pair(server: &str) -> (UdpSocket, Batch) {
        let server = UdpSocket::bind(server).unwrap();
        let local = prepare_udp(server.as_fd(), server.local_addr().unwrap(), Fragments::Never).unwrap();
        (server, Batch::new(local, 32))
    }

    fn client(of: &str) -> UdpSocket {
        let client = UdpSocket::bind(of).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        client
    }

    #[test]
    fn a_batch_is_answered_with_gaps() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (server, mut batch) = pair(address);
            let client = client(address);
            for round in 0..3u8 {
                for i in 0..5u8 {
                    client.send_to(&[round, i], server.local_addr().unwrap()).unwrap();
                }
                assert_eq!(batch.receive(server.as_fd(), Wait::Forever).unwrap(), 5);
                batch.reply(|datagram, out| match datagram {
                    Datagram::Whole { bytes, peer, local } => {
                        assert_eq!((peer, local), (client.local_addr().unwrap(), None));
                        out[..2].copy_from_slice(bytes);
                        (bytes[1] % 2 == 0).then_some(2)
                    }
                    other => panic!("{other:?}"),
                });
                batch.send(server.as_fd(), |error, _| panic!("{error}"));
                let mut room = [0; 16];
                for i in [0, 2, 4] {
                    assert_eq!(client.recv(&mut room).unwrap(), 2);
                    assert_eq!(room[..2], [round, i]);
                }
            }
        }
    }

    #[test]
    fn a_late_reply_leaves_from_the_address_asked() {
        for (address, asked) in
            [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1"), ("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")]
        {
            let (server, mut batch) = pair(address);
            let asked = SocketAddr::new(asked.parse().unwrap(), server.local_addr().unwrap().port());
            let client = client(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
            for datagram in [b"1", b"2"] {
                client.send_to(datagram, asked).unwrap();
            }
            while batch.receive(server.as_fd(), Wait::Forever).unwrap() < 2 {
                client.send_to(b"1", asked).unwrap();
                client.send_to(b"2", asked).unwrap();
            }
            batch.reply(|datagram, _| {
                let Datagram::Whole { local, .. } = datagram else { panic!("{datagram:?}") };
                let is_wildcard = address.starts_with("0.0.0.0") || address.starts_with("[::]");
                assert_eq!(local, is_wildcard.then_some(asked.ip()));
                None
            });
            let (bytes, back) = batch.way_back(1).unwrap();
            let bytes = bytes.to_vec();
            assert_eq!((back.peer(), bytes.len()), (client.local_addr().unwrap(), 1));
            // The batch is used again meanwhile.
            client.send_to(b"3", asked).unwrap();
            batch.receive(server.as_fd(), Wait::Forever).unwrap();
            back.send(&server, &[b"late ", &bytes[..]].concat()).unwrap();
            let mut room = [0; 16];
            assert_eq!(client.recv_from(&mut room).unwrap(), (6, asked));
            assert!(room.starts_with(b"late "));
        }
    }

    #[test]
    fn a_reply_leaves_from_the_address_asked() {
        let (server, mut batch) = pair("0.0.0.0:0");
        let port = server.local_addr().unwrap().port();
        let client = client("127.0.0.1:0");
        for asked in ["127.0.0.2", "127.0.0.1", "127.7.7.7"] {
            let asked: SocketAddr = format!("{asked}:{port}").parse().unwrap();
            client.send_to(b"?", asked).unwrap();
            batch.receive(server.as_fd(), Wait::Forever).unwrap();
            batch.reply(|_, out| {
                out[0] = b'!';
                Some(1)
            });
            batch.send(server.as_fd(), |error, _| panic!("{error}"));
            assert_eq!(client.recv_from(&mut [0; 4]).unwrap(), (1, asked));
        }
    }

    #[test]
    fn a_datagram_too_long_is_known_as_such() {
        let (server, mut batch) = pair("127.0.0.1:0");
        let client = client("127.0.0.1:0");
        for len in [MAX_DATAGRAM, MAX_DATAGRAM + 1] {
            client.send_to(&vec![7; len], server.local_addr().unwrap()).unwrap();
        }
        assert_eq!(batch.receive(server.as_fd(), Wait::Forever).unwrap(), 2);
        let mut seen = Vec::new();
        batch.reply(|datagram, _| {
            seen.push(matches!(datagram, Datagram::Whole { bytes, .. } if bytes.len() == MAX_DATAGRAM));
            assert!(seen.len() == 1 || datagram == Datagram::TooLong);
            None
        });
        assert_eq!(seen, [true, false]);
    }

    #[test]
    fn a_reply_that_cannot_be_sent_holds_up_no_other() {
        let (server, mut batch) = pair("127.0.0.1:0");
        let clients = [client("127.0.0.1:0"), client("127.0.0.1:0")];
        for client in &clients {
            client.send_to(b"?", server.local_addr().unwrap()).unwrap();
        }
        batch.receive(server.as_fd(), Wait::Forever).unwrap();
        // The first reply goes to port 0, which the kernel refuses.
        // SAFETY: the batch is ours and no call runs.
        unsafe { (*batch.memory).peers[0].sin6_port = 0 };
        batch.reply(|_, _| Some(1));
        let mut failures = 0;
        batch.send(server.as_fd(), |_, lost| failures += lost);
        assert_eq!(failures, 1);
        assert_eq!(clients[1].recv(&mut [0; 4]).unwrap(), 1);
    }

    #[test]
    fn large_pages_change_nothing_that_is_in_them() {
        let table: Vec<u32> = (0..3 << 20).collect();
        let Range { start, end } = table.as_ptr_range();
        prefer_large_pages(start.cast()..end.cast());
        assert!(table.iter().zip(0..).all(|(number, at)| *number == at));
        // A table that fills no large page is left alone.
        prefer_large_pages(start.cast()..start.cast());
    }

    #[test]
    fn any_place_may_be_asked_for() {
        let number = 7;
        for place in [
            ptr::null(),
            ptr::without_provenance(usize::MAX),
            ptr::without_provenance(1 << 63),
            (&raw const number).cast(),
        ] {
            prefetch(place);
        }
        assert_eq!(number, 7);
    }

    #[test]
    fn the_system_is_told_whether_replies_may_be_cut() {
        for (fragments, flag) in
            [(Fragments::Never, libc::IP_PMTUDISC_PROBE), (Fragments::Allowed, libc::IP_PMTUDISC_OMIT)]
        {
            let server = UdpSocket::bind("127.0.0.1:0").unwrap();
            prepare_udp(server.as_fd(), server.local_addr().unwrap(), fragments).unwrap();
            let (mut value, mut len): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
            // SAFETY: both pointers are to values that live through the call, of the length given.
            let result = unsafe {
                libc::getsockopt(
                    server.as_raw_fd(),
                    libc::IPPROTO_IP,
                    libc::IP_MTU_DISCOVER,
                    (&raw mut value).cast(),
                    &raw mut len,
                )
            };
            assert_eq!((result, value), (0, flag));
        }
    }

    #[test]
    fn shutting_down_wakes_a_thread_that_waits() {
        let (server, mut batch) = pair("127.0.0.1:0");
        let socket = socket2::Socket::from(server.try_clone().unwrap());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                batch.receive(server.as_fd(), Wait::Forever).unwrap();
                batch.reply(|datagram, _| {
                    assert_eq!(datagram, Datagram::None);
                    None
                });
            });
            // An unconnected socket says ENOTCONN, and shuts down all the same.
            let _ = socket.shutdown(std::net::Shutdown::Read);
            waiting.join().unwrap();
        });
    }
}
