//! Tables for `destination`: what is accepted, what is refused and why, and what an allow-list changes.

use std::collections::HashSet;

use super::*;
use crate::spellings::{ipv4_hosts, private_address_urls};

fn policy(allow_http: bool, cidrs: &[&str]) -> UrlPolicy {
    let allow_cidrs = cidrs.iter().map(|text| text.parse().unwrap()).collect();
    UrlPolicy { allow_http, allow_cidrs }
}

fn strict() -> UrlPolicy {
    UrlPolicy::default()
}

#[test]
fn every_spelling_of_a_private_address_is_refused() {
    let urls = private_address_urls();
    let distinct: HashSet<&String> = urls.iter().collect();
    assert!(distinct.len() >= 300, "only {} spellings", distinct.len());
    assert_eq!(distinct.len(), urls.len());
    for text in urls {
        let refusal = parse(&strict(), &text).expect_err(&text);
        assert_ne!(refusal, DestinationError::HttpRefused, "{text:?} was not judged by its host");
        let plain = text.replacen("https:", "http:", 1);
        assert!(parse(&policy(true, &[]), &plain).is_err(), "{plain:?}");
    }
}

/// Keeps the table above honest: its spellings are refused for the address they spell, not because
/// they are nonsense.
#[test]
fn the_same_spellings_of_a_public_address_reach_it() {
    let public = Ipv4Addr::new(9, 9, 9, 9);
    let hosts = ipv4_hosts(public);
    assert!(hosts.len() >= 25);
    for host in hosts {
        let url = parse(&strict(), &format!("https://{host}/")).expect(&host);
        assert_eq!(url.host(), Some(Host::Ipv4(public)), "{host}");
    }
}

#[test]
fn public_urls_are_accepted_and_normalised() {
    let table = [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com/Hook", "https://example.com/Hook"),
        ("https://example.com./", "https://example.com./"),
        ("https://hooks.example.com:8443/a/b?x=1&y=2", "https://hooks.example.com:8443/a/b?x=1&y=2"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com/a#part", "https://example.com/a"),
        ("https://example.com/?to=http://127.0.0.1/", "https://example.com/?to=http://127.0.0.1/"),
        ("https://example.com/@handle", "https://example.com/@handle"),
        ("https://example.com?mail=a@b.c", "https://example.com/?mail=a@b.c"),
        ("https://bücher.example/straße", "https://xn--bcher-kva.example/stra%C3%9Fe"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://例え.jp/", "https://xn--r8jz45g.jp/"),
        ("https://8.8.8.8/dns", "https://8.8.8.8/dns"),
        ("https://0x08080808/", "https://8.8.8.8/"),
        ("https://[2606:4700:4700::1111]:8443/x", "https://[2606:4700:4700::1111]:8443/x"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://127.0.0.1.example.com/", "https://127.0.0.1.example.com/"),
        ("https://localhost.example.com/", "https://localhost.example.com/"),
        ("https://my-internal.example.com/", "https://my-internal.example.com/"),
        ("https://a_b.example.com/", "https://a_b.example.com/"),
    ];
    for (text, normalised) in table {
        let url = parse(&strict(), text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        assert_eq!(url.as_str(), normalised);
        assert_eq!(parse(&strict(), url.as_str()), Ok(url), "{text} is not stable");
    }
}

#[test]
fn malformed_urls_are_refused_for_the_right_reason() {
    use DestinationError::*;
    let table = [
        ("", Scheme),
        ("example.com", Scheme),
        ("/path", Scheme),
        ("//example.com", Scheme),
        ("https:example.com", Scheme),
        ("https:/example.com", Scheme),
        (r"https:\\example.com", Scheme),
        ("ftp://example.com", Scheme),
        ("file:///etc/passwd", Scheme),
        ("javascript://example.com/%0aalert(1)", Scheme),
        ("ws://example.com", Scheme),
        ("http://example.com", HttpRefused),
        ("HTTP://example.com", HttpRefused),
        ("https://", NoHost),
        ("https:///example.com", NoHost),
        (r"https://\example.com", NoHost),
        ("https://?x", NoHost),
        ("https://user@example.com", Userinfo),
        ("https://user:pass@example.com/", Userinfo),
        ("https://:pass@example.com/", Userinfo),
        ("https://@example.com/", Userinfo),
        ("https://example.com@10.0.0.1", Userinfo),
        ("https://example.com:0/", PortZero),
        (" https://example.com", Whitespace),
        ("https://example.com ", Whitespace),
        ("https://example.com/a b", Whitespace),
        ("https://exa\tmple.com/", Whitespace),
        ("https://example.com/\r\nX: y", Whitespace),
        ("https://example.com/\u{0}", Whitespace),
        ("https://example.com/\u{7f}", Whitespace),
        ("https://example.com/\u{2028}", Whitespace),
        ("https://example.com/\u{3000}", Whitespace),
        ("https://example..com/", PrivateName("example..com".into())),
        ("https://example.com../", PrivateName("example.com..".into())),
        ("https://intranet/", PrivateName("intranet".into())),
        ("https://localhost/", PrivateName("localhost".into())),
        ("https://api.LocalHost./", PrivateName("api.localhost.".into())),
        ("https://nas.local/", PrivateName("nas.local".into())),
        ("https://metadata.google.internal/", PrivateName("metadata.google.internal".into())),
    ];
    for (text, refusal) in table {
        assert_eq!(parse(&strict(), text), Err(refusal), "{text:?}");
    }
    for text in [
        "https://example.com:65536/",
        "https://example.com:port/",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://256.1.1.1/",
        "https://1.2.3.4.5/",
        "https://example.1/",
        "https://exa%00mple.com/",
        "https://exa%mple.com/",
        "https://exa<mple.com/",
        "https://xn--zzzzzz9999.example/",
    ] {
        assert!(matches!(parse(&strict(), text), Err(Syntax(_))), "{text:?}");
    }
}

#[test]
fn the_length_limit_holds_before_and_after_encoding() {
    let of_length = |n: usize| format!("https://example.com/{}", "a".repeat(n - 20));
    assert!(parse(&strict(), &of_length(URL_CHARS_MAX)).is_ok());
    let long = parse(&strict(), &of_length(URL_CHARS_MAX + 1));
    assert_eq!(long, Err(DestinationError::TooLong));
    // 400 characters as given, six bytes each once encoded.
    let accented = format!("https://example.com/{}", "é".repeat(400));
    assert_eq!(parse(&strict(), &accented), Err(DestinationError::TooLong));
}

#[test]
fn a_refusal_names_the_address_and_its_use() {
    let refusal = parse(&strict(), "https://0xa9fea9fe/latest").unwrap_err().to_string();
    assert!(refusal.contains("169.254.169.254") && refusal.contains("metadata"), "{refusal}");
}

#[test]
fn an_allowed_range_exempts_its_addresses_and_no_others() {
    let dev = policy(true, &["127.0.0.0/8", "::1/128"]);
    for text in [
        "http://127.0.0.1:8787/hook",
        "http://2130706433/",
        "https://127.9.9.9/",
        "http://[::1]:80/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost:3000/",
        "http://api.localhost/",
        "https://example.com/",
        "http://example.com/",
    ] {
        assert!(parse(&dev, text).is_ok(), "{text}");
    }
    for text in [
        "http://10.0.0.1/",
        "http://[::2]/",
        "http://[::127.0.0.1]/",
        "http://0.0.0.0/",
        "http://169.254.169.254/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://nas.local/",
        "http://db.internal/",
        "http://intranet/",
        "http://localhost../",
        "http://u@127.0.0.1/",
        "http://127.0.0.1:0/",
    ] {
        assert!(parse(&dev, text).is_err(), "{text}");
    }
}

#[test]
fn localhost_needs_a_range_that_holds_a_loopback_address() {
    for (cidr, allowed) in [
        ("127.0.0.0/8", true),
        ("127.0.0.1/32", true),
        ("::1/128", true),
        ("0.0.0.0/0", true),
        ("127.0.0.2/32", false),
        ("10.0.0.0/8", false),
    ] {
        let parsed = parse(&policy(false, &[cidr]), "https://localhost/");
        assert_eq!(parsed.is_ok(), allowed, "{cidr}");
    }
}

#[test]
fn addresses_are_judged_at_connect_time_by_the_same_ranges() {
    let table = [
        (&[][..], "8.8.8.8", true),
        (&[], "2606:4700:4700::1111", true),
        (&[], "10.0.0.1", false),
        (&[], "::ffff:8.8.8.8", false),
        (&["10.0.0.0/8"], "10.1.2.3", true),
        (&["10.0.0.0/8"], "::ffff:10.1.2.3", true),
        (&["10.0.0.0/8"], "11.0.0.1", true),
        (&["10.0.0.0/8"], "172.16.0.1", false),
        (&["fd00::/8"], "fd12::1", true),
        (&["fd00::/8"], "fc12::1", false),
        (&["::/0"], "fe80::1", true),
        (&["::/0"], "127.0.0.1", false),
        (&["::ffff:0:0/96"], "127.0.0.1", false),
        (&["::ffff:0:0/96"], "::ffff:127.0.0.1", true),
        (&["10.0.0.0/8", "fd00::/8"], "fd12::1", true),
    ];
    for (cidrs, address, allowed) in table {
        let judged = address_allowed(&policy(false, cidrs), address.parse().unwrap());
        assert_eq!(judged, allowed, "{address} under {cidrs:?}");
    }
}
