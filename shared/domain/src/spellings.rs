//! Spellings of private addresses as URLs, for tests of the SSRF guard here and end to end.
//!
//! Stage: none; tests only, public so that the integration tests reach it. Out of scope: judging
//! them (`destination`).

use std::net::{Ipv4Addr, Ipv6Addr};

const IPV4: [[u8; 4]; 14] = [
    [127, 0, 0, 1],
    [127, 1, 2, 3],
    [10, 0, 0, 1],
    [169, 254, 169, 254],
    [192, 168, 0, 1],
    [172, 16, 0, 1],
    [172, 31, 255, 254],
    [100, 64, 0, 1],
    [0, 0, 0, 0],
    [192, 0, 0, 192],
    [192, 0, 2, 1],
    [198, 18, 0, 1],
    [224, 0, 0, 1],
    [255, 255, 255, 255],
];

const IPV6: [&str; 16] = [
    "::",
    "::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "ff02::1",
    "100::1",
    "2001:db8::1",
    "2001:10::1",
    "2001:20::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
];

const NAMES: [&str; 22] = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost.",
    "api.localhost",
    "a.b.localhost.",
    "l%6fcalhost",
    "%6c%6f%63%61%6c%68%6f%73%74",
    "ｌｏｃａｌｈｏｓｔ",
    "loc\u{ad}alhost",
    "loc\u{200b}alhost",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "api。localhost",
    "metadata",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata。google。internal",
    "instance-data.ec2.internal",
    "printer.local",
    "printer.LOCAL.",
    "intranet",
    "db.internal",
];

/// Spells each private address and local name in every way an attacker may, as `https://` URLs;
/// all distinct, at least 300, all refused under the strict policy.
#[must_use]
pub fn private_address_urls() -> Vec<String> {
    let mut urls = Vec::new();
    for octets in IPV4 {
        let ip = Ipv4Addr::from(octets);
        let hosts = ipv4_hosts(ip).into_iter().chain(ipv4_in_ipv6_hosts(ip));
        urls.extend(hosts.map(|host| format!("https://{host}/")));
        urls.extend(dressed_urls(&ip.to_string()));
    }
    for ip in IPV6 {
        urls.extend(ipv6_hosts(ip).into_iter().map(|host| format!("https://{host}/")));
        urls.extend(dressed_urls(&format!("[{ip}]")));
    }
    urls.extend(NAMES.map(|name| format!("https://{name}/")));
    // Short forms coincide where octets are zero (0.0.0.0 in octal and in decimal, say).
    urls.sort();
    urls.dedup();
    urls
}

/// Spells `ip` in every way the WHATWG host parser takes for an IPv4 address.
#[must_use]
pub fn ipv4_hosts(ip: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = ip.octets();
    let whole = u32::from(ip);
    let (low16, low24) = (whole & 0xffff, whole & 0x00ff_ffff);
    let dotted = ip.to_string();
    let mut hosts = vec![
        dotted.clone(),
        format!("{whole}"),
        format!("{whole:#x}"),
        format!("0X{whole:X}"),
        format!("0{whole:o}"),
        format!("000000{whole:o}"),
        format!("0x00000000{whole:08x}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0X{a:02X}.0X{b:02X}.0X{c:02X}.0X{d:02X}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("0000{a:o}.0000{b:o}.0000{c:o}.0000{d:o}"),
        format!("{a:#x}.{b}.0{c:o}.{d}"),
        format!("0{a:o}.{b:#x}.{c}.{d:#x}"),
        format!("{a}.{b}.{low16}"),
        format!("{a}.{b}.{low16:#x}"),
        format!("{a:#x}.0{b:o}.{low16}"),
        format!("{a}.{low24}"),
        format!("{a}.{low24:#x}"),
        format!("0{a:o}.0{low24:o}"),
        format!("{dotted}."),
        format!("{whole}."),
        format!("{whole:#x}."),
        format!("{dotted}。"),
        dotted.replace('.', "。"),
        dotted.replace('.', "．"),
        dotted.replace('.', "｡"),
        dotted.replace('.', "%2e"),
        dotted.replace('.', "%2E"),
        dotted.replace('.', "%E3%80%82"),
        percent_encoded(&dotted),
        percent_encoded(&whole.to_string()),
        dotted.replace('.', ".\u{ad}"),
        dotted.replace('.', "\u{200b}."),
    ];
    // Digits that IDNA maps to ASCII: full-width, mathematical bold, mathematical monospace.
    for zero in ['０', '𝟎', '𝟶'] {
        hosts.push(redigited(&dotted, zero));
        hosts.push(redigited(&whole.to_string(), zero));
    }
    hosts.push(percent_encoded(&redigited(&dotted, '０')));
    hosts
}

/// Writes each ASCII digit of `text` with the ten characters that begin at `zero`.
fn redigited(text: &str, zero: char) -> String {
    let digit = |c: char| c.to_digit(10).and_then(|n| char::from_u32(u32::from(zero) + n));
    text.chars().map(|c| digit(c).unwrap_or(c)).collect()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Spells IPv6 addresses that carry `ip` inside: mapped, compatible, NAT64, 6to4 and Teredo.
fn ipv4_in_ipv6_hosts(ip: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    vec![
        format!("[::ffff:{ip}]"),
        format!("[::FFFF:{ip}]"),
        format!("[::ffff:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{high:04x}:{low:04x}]"),
        format!("[0000:0000:0000:0000:0000:FFFF:{ip}]"),
        format!("[::ffff:0:{ip}]"),
        format!("[::{ip}]"),
        format!("[0::{high:x}:{low:x}]"),
        format!("[64:ff9b::{ip}]"),
        format!("[0064:FF9B::{high:04X}:{low:04X}]"),
        format!("[64:ff9b:1::{ip}]"),
        format!("[2002:{high:x}:{low:x}::]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:4136:e378:8000:63bf:{:x}:{:x}]", !high, !low),
    ]
}

fn ipv6_hosts(text: &str) -> Vec<String> {
    let segments = text.parse::<Ipv6Addr>().map_or([0; 8], |ip| ip.segments());
    let short = segments.map(|segment| format!("{segment:x}")).join(":");
    let full = segments.map(|segment| format!("{segment:04X}")).join(":");
    vec![
        format!("[{text}]"),
        format!("[{short}]"),
        format!("[{full}]"),
        format!("[{text}%25eth0]"),
        format!("[{text}%eth0]"),
        format!("[{text}%251]"),
    ]
}

/// Dresses `host` with the parts of a URL that parsers disagree about.
fn dressed_urls(host: &str) -> Vec<String> {
    vec![
        format!("HTTPS://{host}"),
        format!("https://{host}:443/"),
        format!("https://{host}:8443/hook?x=1"),
        format!("https://{host}/latest/meta-data/"),
        format!("https://{host}?x=https://example.com/"),
        format!("https://{host}#@example.com/"),
        format!("https://{host}\\@example.com/"),
        format!("https://@{host}/"),
        format!("https://user@{host}/"),
        format!("https://user:pass@{host}/"),
        format!("https://example.com@{host}/"),
        format!("https://example.com%23@{host}/"),
        format!("https:{host}/"),
        format!("https:/{host}/"),
        format!("https:///{host}/"),
        format!("https:\\\\{host}\\"),
        format!("https:/\\{host}/"),
        format!(" https://{host}/"),
        format!("ht\ttps://{host}/"),
        format!("https://\n{host}/"),
        format!("https://{host}\r\n/"),
    ]
}
