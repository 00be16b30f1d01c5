//! Which part of the world an address belongs to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Routed on the internet.
    Public,
    /// A network of one's own.
    Private,
    /// This machine.
    Loopback,
    /// Link-local (metadata services of clouds live there), unspecified, multicast, reserved.
    Special,
}

impl Reach {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Reach::Public => "public",
            Reach::Private => "private",
            Reach::Loopback => "loopback",
            Reach::Special => "special",
        }
    }
}

/// Addresses of version 6 that carry one of version 4 count as what they carry.
pub(crate) fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

/// By the IANA registry of special-purpose addresses.
fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [127, ..] => Reach::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        // This network; link-local; protocol assignments; documentation; benchmarks; multicast, reserved, broadcast.
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [198, 18..=19, ..]
        | [224..=255, ..] => Reach::Special,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if ip == Ipv6Addr::LOCALHOST {
        return Reach::Loopback;
    }
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        // Mapped, and by the well-known prefix of NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => carried(high, low),
        // 6to4.
        [0x2002, high, low, ..] => carried(high, low),
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Teredo and other protocol assignments; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Special,
        // Global unicast.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Special,
    }
}

/// Whether a connection to `ip:port` ends at the listener `own`. Blocks for a system call when that listens everywhere.
pub(crate) fn is_own(own: Option<SocketAddr>, ip: IpAddr, port: u16) -> bool {
    let Some(own) = own.filter(|own| own.port() == port) else { return false };
    let (own, ip) = (own.ip().to_canonical(), ip.to_canonical());
    if own == ip {
        return true;
    }
    // Connecting to "no address" means connecting to oneself.
    if ip.is_unspecified() {
        return own.is_unspecified() || own.is_loopback();
    }
    // Only an address of this machine can be bound to.
    own.is_unspecified() && (ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok())
}
