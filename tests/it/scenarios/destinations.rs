//! Where pushes go: the guard against private addresses, TLS, HTTP/2, and connections that are used again.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Version;
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{SOON, assert_signed, attempts, message};
use crate::endpoint::{Endpoint, tls_port};
use crate::host::{ALL, Host, Options, on, on_own};

// `tikku dev` allows these always: the endpoints of a developer run beside it.
const LOOPBACK_HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "0x7f.1",
    "0x7f000001",
    "017700000001",
    "2130706433",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "foo.localhost",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "\u{2460}27.0.0.1",
    "%31%32%37.0.0.1",
];

const PRIVATE_HOSTS: &[&str] = &[
    "0",
    "0.0.0.0",
    "00.0x0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "198.51.100.1",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "3232235777",
    "0xa9fea9fe",
    "[::]",
    "[64:ff9b::10.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[2002:a00:1::1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[fec0::1]",
    "\u{ff11}\u{ff10}.0.0.1",
    "10\u{3002}0.0.1",
    "%31%30.0.0.1",
    "intranet",
    "host.internal",
    "printer.local",
    "metadata.google.internal",
];

#[test]
fn private_addresses_in_any_spelling_are_refused_and_nothing_is_stored() {
    on_own(ALL, Options { name: "guard".to_owned(), strict: true, ..Options::default() }, async |d| {
        let loopback = if d.host == Host::Dev { &[] } else { LOOPBACK_HOSTS };
        for host in PRIVATE_HOSTS.iter().chain(loopback) {
            for port in ["", ":8080"] {
                let url = format!("http://{host}{port}/hook");
                let answer = d.api.post("/v1/messages", &json!({ "url": url })).await;
                assert_eq!(answer.status, 400, "{url}: {answer:?}");
                assert_eq!(answer.problem(400)["errors"][0]["pointer"], "/url", "{url}");
            }
        }
        if d.host != Host::Dev {
            // All that domain knows, some 1,500; `tikku dev` lets loopback through, which many of them are.
            let urls = tikku_domain::spellings::private_address_urls();
            assert!(urls.len() >= 300);
            let statuses: Vec<(String, u16)> = stream::iter(urls)
                .map(async |url| {
                    let status = d.api.post("/v1/messages", &json!({ "url": url })).await.status;
                    (url, status)
                })
                .buffer_unordered(16)
                .collect()
                .await;
            let taken: Vec<&String> = statuses.iter().filter(|(_, status)| *status != 400).map(|(url, _)| url).collect();
            assert_eq!(taken, Vec::<&String>::new());
        }
        assert_eq!(d.api.get("/v1/messages").await.expect(200).json()["data"], json!([]));
        // The guard is about addresses: a public name is taken.
        d.api.publish(&json!({ "url": "http://example.com/", "delaySeconds": 86_400 })).await;
    });
}

#[test]
fn a_public_name_that_resolves_to_a_private_address_is_refused_at_push_time() {
    let hosts = "127.0.0.1 localhost\n127.0.0.1 loop.example.com\n::1 loop6.example.com\n10.0.0.1 private.example.com\n10.0.0.1 mixed.example.com\n127.0.0.1 mixed.example.com\n";
    let options = Options { name: "rebind".to_owned(), strict: true, hosts: Some(hosts), ..Options::default() };
    on_own(&[Host::Dev, Host::Lambda], options, async |d| {
        let endpoint = Endpoint::new();
        let mut names = vec!["private.example.com", "mixed.example.com"];
        if d.host != Host::Dev {
            names.extend(["loop.example.com", "loop6.example.com"]);
        }
        for name in names {
            let url = endpoint.url().replace("127.0.0.1", name);
            let id = d.api.publish(&json!({ "url": url, "maxAttempts": 1 })).await;
            let kept = d.api.until(&id, "failed", SOON).await;
            let attempt = &attempts(&kept)[0];
            assert!(attempt["responseStatus"].is_null() && attempt["error"].to_string().contains("private"), "{attempt:#}");
        }
        assert_eq!(endpoint.count(), 0, "a push reached loopback");
    });
}

#[test]
fn an_https_endpoint_with_an_extra_root_is_reached_over_http_2() {
    let port = tls_port();
    on_own(&[Host::Dev, Host::Lambda], Options { name: "tls".to_owned(), extra_ca: true, ..Options::default() }, async |d| {
        let endpoint = Endpoint::new();
        for origin in [format!("https://127.0.0.1:{port}"), format!("https://localhost:{port}")] {
            let id = d.api.publish(&json!({ "url": endpoint.url_at(&origin), "body": { "over": "tls" } })).await;
            d.api.until(&id, "delivered", SOON).await;
        }
        for push in endpoint.received() {
            assert_eq!(push.version, Version::HTTP_2);
            assert_signed(d, &push);
        }
        assert_eq!(endpoint.count(), 2);
    });
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_a_failed_attempt() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let url = endpoint.url_at(&format!("https://127.0.0.1:{}", tls_port()));
        let id = d.api.publish(&json!({ "url": url, "maxAttempts": 1 })).await;
        let kept = d.api.until(&id, "failed", SOON).await;
        assert!(attempts(&kept)[0]["error"].is_string(), "{kept:#}");
        assert_eq!(endpoint.count(), 0);
    });
}

#[test]
fn connections_to_an_endpoint_are_used_again_by_a_warm_instance() {
    on_own(&[Host::Dev, Host::Lambda], Options { name: "reuse".to_owned(), ..Options::default() }, async |d| {
        let endpoint = Endpoint::new();
        for n in 1..=24 {
            d.api.publish(&message(&endpoint, json!({ "body": n }))).await;
            endpoint.wait(n, SOON).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let connections: BTreeSet<usize> = endpoint.received().iter().map(|push| push.connection).collect();
        let instances = if d.host == Host::Dev { 1 } else { 4 };
        // One more, where a push began before the connection of the last was back.
        assert!(connections.len() <= instances + 1, "24 pushes took {} connections of {instances} instances", connections.len());
    });
}
