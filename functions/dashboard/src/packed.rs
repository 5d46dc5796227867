//! Packs pages with gzip for browsers that take it.
//!
//! A page holds the token of its session beside text that a link may choose, such as a filter; how short such a page gets tells something of
//! the token to whoever watches the wire and can make the browser ask again and again (BREACH). So only what a browser asks for by itself, or
//! for a page of ours, is packed: requests that another site has begun say so. Out of scope: static files, which are packed when built.

use std::io::Write;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};

use crate::assets::accepts_gzip;

/// Below this a packet has room for it all.
const LEAST_BYTES: usize = 1_024;
/// The largest page that is packed; there is none that is larger.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Packs what a page answers.
pub async fn pack(request: Request, next: Next) -> Response {
    let takes = takes(request.headers());
    let response = next.run(request).await;
    let is_html = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if !takes || !is_html || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(plain) = to_bytes(body, MOST_BYTES).await else { return Response::from_parts(head, Body::empty()) };
    match packed(&plain) {
        Some(bytes) if plain.len() >= LEAST_BYTES => {
            head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            head.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(head, Body::from(bytes))
        }
        _ => Response::from_parts(head, Body::from(plain)),
    }
}

/// Whether the browser takes gzip, and asks for this because a page of ours or the person at it says so.
fn takes(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let begun_by = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["same-origin", "none"].contains(&begun_by) && accepts_gzip(text(header::ACCEPT_ENCODING))
}

fn packed(plain: &[u8]) -> Option<Vec<u8>> {
    // A fast level: pages are made for each request.
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(4));
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_other_site_has_begun_is_packed() {
        for (site, encoding, expected) in [
            ("same-origin", "gzip, deflate, br", true),
            ("none", "gzip", true),
            ("none", "br", false),
            ("cross-site", "gzip", false),
            ("same-site", "gzip", false),
            ("", "gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
            if !site.is_empty() {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(takes(&headers), expected, "{site} {encoding}");
        }
    }
}
