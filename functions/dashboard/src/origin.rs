//! Where a request comes from, as its browser says: whether a post is from a page of ours, and whether cookies may travel without TLS.
//!
//! Out of scope: the token that every form brings along besides (`gate`).

use http::{HeaderMap, header};

/// Whether a post may come from one of our own pages. Browsers say where a post comes from by Sec-Fetch-Site, or, over plain HTTP, by Origin
/// alone; a client that says neither is no browser that somebody else's page could use.
pub fn is_ours(headers: &HeaderMap, public_url: &str) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match text(headers, header::ORIGIN.as_str()) {
        None => true,
        Some(origin) => origin == public_url || origin.split_once("://").is_some_and(|(_, host)| host == host_of(headers)),
    }
}

/// Whether the browser keeps and sends cookies of this address over TLS only. Plain HTTP is for this machine alone.
pub fn is_secure(headers: &HeaderMap) -> bool {
    let is_https = text(headers, header::ORIGIN.as_str()).is_some_and(|origin| origin.starts_with("https://"));
    is_https || !is_loopback(host_of(headers))
}

/// Whether the request came over plain HTTP from elsewhere, so that its browser would not keep a cookie.
pub fn is_bare(headers: &HeaderMap) -> bool {
    let is_http = text(headers, header::ORIGIN.as_str()).is_some_and(|origin| origin.starts_with("http://"));
    is_http && !is_loopback(host_of(headers))
}

fn host_of(headers: &HeaderMap) -> &str {
    text(headers, header::HOST.as_str()).unwrap_or_default()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn posts_of_other_sites_are_not_ours() {
        for (pairs, expected) in [
            (&[("host", "a.example")][..], true),
            (&[("host", "a.example"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "a.example"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "a.example"), ("sec-fetch-site", "same-site"), ("origin", "https://a.example")], false),
            (&[("host", "a.example"), ("origin", "https://a.example")], true),
            (&[("host", "internal"), ("origin", "https://tikku.example")], true),
            (&[("host", "a.example"), ("origin", "https://b.example")], false),
            (&[("host", "127.0.0.1:8787"), ("origin", "http://127.0.0.1:8788")], false),
            (&[("host", "a.example"), ("origin", "null")], false),
        ] {
            assert_eq!(is_ours(&headers(pairs), "https://tikku.example"), expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_this_machine_needs_no_tls() {
        for host in ["127.0.0.1:8787", "localhost:1", "localhost", "[::1]:8787", "127.9.9.9", "x.localhost:80"] {
            assert!(!is_secure(&headers(&[("host", host), ("origin", "http://x")])), "{host}");
        }
        for host in ["192.168.1.5:8787", "a.example", "localhost.example", "127.0.0.1.example", ""] {
            assert!(is_secure(&headers(&[("host", host)])), "{host}");
        }
        assert!(is_secure(&headers(&[("host", "localhost"), ("origin", "https://localhost")])), "behind a proxy of this machine");
        assert!(is_bare(&headers(&[("host", "192.168.1.5:1"), ("origin", "http://192.168.1.5:1")])));
        assert!(!is_bare(&headers(&[("host", "localhost:1"), ("origin", "http://localhost:1")])));
    }
}
