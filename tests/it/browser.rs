//! Test bed: a browser without a screen, for the dashboard's pages. It keeps cookies, reads tokens out of forms, and follows nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method};

use crate::api::{Answer, Api};

/// Somebody at a browser.
pub struct Browser {
    url: String,
    client: Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    /// Without a session.
    pub fn new(url: &str) -> Browser {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(Duration::from_secs(60)).build().expect("a client");
        Browser { url: url.to_owned(), client, cookies: Mutex::default() }
    }

    /// Signed in with the key of `api`.
    pub async fn signed_in(api: &Api) -> Browser {
        let browser = Browser::new(&api.url);
        let answer = browser.send("POST", "/dashboard/sign-in", &[], &[("key", &api.key)]).await;
        assert_eq!((answer.status, location(&answer)), (303, "/dashboard"), "{answer:?}");
        browser
    }

    /// Opens a page.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[]).await
    }

    /// Posts a form with the session's token.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.csrf().await;
        let fields: Vec<_> = fields.iter().copied().chain([("csrf", token.as_str())]).collect();
        self.send("POST", path, &[], &fields).await
    }

    /// What forms of this session bring along.
    pub async fn csrf(&self) -> String {
        let page = self.get("/dashboard/messages").await.expect(200).text;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form with a token");
        rest.split('"').next().expect("a value").to_owned()
    }

    /// Sends one request with these headers; keeps the cookies that come back.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.url));
        let cookies = self.cookie_line();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        if method != Method::GET {
            let pairs = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
            let body = pairs.collect::<Vec<_>>().join("&");
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap_or_else(|e| panic!("{method} {path}: {e:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await.expect("a body")).into_owned();
        let answer = Answer { status, headers, text };
        self.keep(&answer);
        answer
    }

    /// The session's cookie.
    pub fn session(&self) -> Option<String> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).get("tikku_session").cloned()
    }

    fn cookie_line(&self) -> String {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for line in set_cookies(answer) {
            let (pair, _) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a name");
            if line.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// The Set-Cookie lines of an answer.
pub fn set_cookies(answer: &Answer) -> Vec<String> {
    answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// Where an answer leads; "" nowhere.
pub fn location(answer: &Answer) -> &str {
    answer.headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
