//! The line that says what an action has done: it waits in a cookie for the page that the browser asks for next.
//!
//! Out of scope: problems, which are shown at once by the page that was posted to.

use http::HeaderMap;

use crate::page::Flash;
use crate::{cookie, link};

const COOKIE: &str = "tikku_flash";
/// The next page comes within seconds, if it comes.
const LASTS_S: i64 = 60;

/// Leaves a line for the next page.
pub fn put(request: &HeaderMap, answer: &mut HeaderMap, flash: &Flash) {
    if let Ok(text) = serde_json::to_string(flash) {
        cookie::set(request, answer, COOKIE, &link::cookie_value(&text), LASTS_S);
    }
}

/// The line that was left for this page.
pub fn take(request: &HeaderMap) -> Option<Flash> {
    let flash: Flash = serde_json::from_str(&link::cookie_text(cookie::get(request, COOKIE)?)).ok()?;
    // Whoever could write the cookie must not get a link out of it that leads elsewhere.
    let is_ours = flash.href.is_empty() || flash.href.starts_with("/dashboard");
    (is_ours && ["ok", "info", "error"].contains(&flash.kind.as_str())).then_some(flash)
}

/// Removes the line once a page has shown it.
pub fn forget(request: &HeaderMap, answer: &mut HeaderMap) {
    if cookie::get(request, COOKIE).is_some() {
        cookie::set(request, answer, COOKIE, "", 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};

    #[test]
    fn a_line_survives_the_way_through_the_browser() {
        let flash = Flash::ok("Cancelled: 100 %; \"ä\"").linked("/dashboard/messages/msg_1", "See it");
        let mut answer = HeaderMap::new();
        put(&HeaderMap::new(), &mut answer, &flash);
        let set = answer[header::SET_COOKIE].to_str().unwrap();
        let request = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(set.split(';').next().unwrap()).unwrap())]);
        assert_eq!(take(&request), Some(flash));
        for value in ["tikku_flash=x", "tikku_flash=", "tikku_flash={%22kind%22:%22ok%22%2C%22text%22:%22%22%2C%22href%22:%22//x%22}"] {
            assert_eq!(take(&HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(value).unwrap())])), None, "{value}");
        }
    }
}
