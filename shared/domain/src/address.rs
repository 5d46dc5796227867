//! Which IP addresses belong to the public internet.
//!
//! Stage: publish (address literals in a URL) and deliver (every address a name resolved to, before
//! the socket opens). Out of scope: the operator's allow-list and URLs, which are `destination`'s.
//!
//! Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), the IANA
//! IPv6 Address Space registry, and the RFC named beside each range.

use std::net::IpAddr;

use ipnet::{Ipv4Net, Ipv6Net};

/// IPv4 ranges that no push may reach, each with its use.
const IPV4_REFUSED: [(Ipv4Net, &str); 17] = [
    (v4(0, 0, 0, 0, 8), "\"this network\", RFC 791"),
    (v4(10, 0, 0, 0, 8), "private, RFC 1918"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT, RFC 6598"),
    (v4(127, 0, 0, 0, 8), "loopback, RFC 1122"),
    // The Azure host agent answers every guest here, although the address looks public.
    (v4(168, 63, 129, 16, 32), "Azure platform address"),
    (v4(169, 254, 0, 0, 16), "link-local and metadata, RFC 3927"),
    (v4(172, 16, 0, 0, 12), "private, RFC 1918"),
    (v4(192, 0, 0, 0, 24), "IETF protocol assignments, RFC 6890"),
    (v4(192, 0, 2, 0, 24), "documentation, RFC 5737"),
    (v4(192, 88, 99, 0, 24), "6to4 relay anycast, RFC 7526"),
    (v4(192, 168, 0, 0, 16), "private, RFC 1918"),
    (v4(198, 18, 0, 0, 15), "benchmarking, RFC 2544"),
    (v4(198, 51, 100, 0, 24), "documentation, RFC 5737"),
    (v4(203, 0, 113, 0, 24), "documentation, RFC 5737"),
    (v4(224, 0, 0, 0, 4), "multicast, RFC 5771"),
    (v4(255, 255, 255, 255, 32), "broadcast, RFC 919"),
    (v4(240, 0, 0, 0, 4), "reserved, RFC 1112"),
];

/// IPv6 ranges that no push may reach, each with its use; the first that matches names the refusal.
///
/// Forms that embed an IPv4 address are refused outright, also around a public one: which socket
/// such an address ends at depends on the network in between, and no public endpoint needs them.
const IPV6_REFUSED: [(Ipv6Net, &str); 19] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified, RFC 4291"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback, RFC 4291"),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), "IPv4-mapped, RFC 4291"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "IPv4-compatible, RFC 4291"),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "NAT64, RFC 6052"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "local-use NAT64, RFC 8215"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard-only, RFC 6666"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo, RFC 4380"),
    (v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28), "ORCHID, RFC 4843"),
    (v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28), "ORCHIDv2, RFC 7343"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "IETF protocol assignments, RFC 2928"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation, RFC 3849"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4, RFC 3056"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation, RFC 9637"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "segment routing (SRv6), RFC 9602"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique local, RFC 4193"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local, RFC 4291"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local, RFC 3879"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast, RFC 4291"),
];

/// The only IPv6 space IANA hands out for global unicast (RFC 4291, IANA IPv6 Address Space).
const IPV6_GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    let address = std::net::Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
    Ipv6Net::new_assert(address, prefix)
}

/// Names the use of the special range that holds `ip`; `None` when `ip` is on the public internet.
#[must_use]
pub fn special_use(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => IPV4_REFUSED.iter().find(|(range, _)| range.contains(&ip)).map(|(_, name)| *name),
        IpAddr::V6(ip) => IPV6_REFUSED
            .iter()
            .find(|(range, _)| range.contains(&ip))
            .map(|(_, name)| *name)
            .or_else(|| (!IPV6_GLOBAL_UNICAST.contains(&ip)).then_some("outside global unicast 2000::/3, RFC 4291")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> bool {
        special_use(text.parse().unwrap()).is_some()
    }

    /// First and last address of each range are refused; the neighbours listed here are public.
    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn ranges_end_exactly_where_the_registries_say() {
        let inside = [
            "0.0.0.0 0.255.255.255",
            "10.0.0.0 10.255.255.255",
            "100.64.0.0 100.127.255.255",
            "127.0.0.0 127.255.255.255",
            "168.63.129.16 168.63.129.16",
            "169.254.0.0 169.254.255.255",
            "172.16.0.0 172.31.255.255",
            "192.0.0.0 192.0.0.255",
            "192.0.2.0 192.0.2.255",
            "192.88.99.0 192.88.99.255",
            "192.168.0.0 192.168.255.255",
            "198.18.0.0 198.19.255.255",
            "198.51.100.0 198.51.100.255",
            "203.0.113.0 203.0.113.255",
            "224.0.0.0 255.255.255.255",
            ":: 1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "::ffff:8.8.8.8 ::8.8.8.8",
            "64:ff9b::808:808 64:ff9b:1::808:808",
            "100:: 100::ffff:ffff:ffff:ffff",
            "2001:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:10:: 2001:2f:ffff::",
            "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002:: 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:: 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000:: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "5f00:: 5f00:ffff::",
            "fc00:: fdff:ffff::",
            "fe80:: febf:ffff::",
            "fec0:: feff:ffff::",
            "ff00:: ff02::1",
        ];
        for pair in inside {
            assert!(pair.split(' ').all(refused), "{pair}");
        }
        let outside = [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2003::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2606:4700:4700::1111",
        ];
        for address in outside {
            assert!(!refused(address), "{address}");
        }
    }

    #[test]
    fn each_range_is_named_by_its_own_entry() {
        for (range, name) in IPV4_REFUSED {
            assert_eq!(special_use(range.addr().into()), Some(name));
            assert_eq!(range, range.trunc(), "{range} has host bits");
        }
        for (range, name) in IPV6_REFUSED {
            assert_eq!(range, range.trunc(), "{range} has host bits");
            // Wide ranges begin with a narrower one that is named first, so ask near their end.
            let last = range.broadcast();
            assert!(special_use(last.into()).is_some(), "{name}");
        }
        let teredo = "2001::1".parse().unwrap();
        assert_eq!(special_use(teredo), Some("Teredo, RFC 4380"));
        assert_eq!(special_use("255.255.255.255".parse().unwrap()), Some("broadcast, RFC 919"));
    }
}
