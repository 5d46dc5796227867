//! Cookies: reading one, setting one, removing one. Out of scope: what is in them.

use http::{HeaderMap, HeaderValue, header};

use crate::origin;

/// The value of the first cookie of this name.
pub fn get<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// Sets a cookie, for so many seconds; 0 removes it. No script can read it, and other sites cannot make a browser post with it.
pub fn set(request: &HeaderMap, answer: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
    write(request, answer, &format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly"));
}

/// Sets a cookie that `tikku.js` sets too.
pub fn set_open(request: &HeaderMap, answer: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
    write(request, answer, &format!("{name}={value}; Path=/; Max-Age={seconds}"));
}

fn write(request: &HeaderMap, answer: &mut HeaderMap, text: &str) {
    let secure = if origin::is_secure(request) { "; Secure" } else { "" };
    if let Ok(value) = HeaderValue::from_str(&format!("{text}; SameSite=Lax{secure}")) {
        answer.append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; tikku_session=x.y; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3"));
        assert_eq!((get(&headers, "tikku_session"), get(&headers, "c"), get(&headers, "session")), (Some("x.y"), Some("3"), None));
    }

    #[test]
    fn a_cookie_is_for_this_site_and_no_script() {
        let (mut request, mut answer) = (HeaderMap::new(), HeaderMap::new());
        set(&request, &mut answer, "s", "v", 60);
        request.insert(header::HOST, HeaderValue::from_static("localhost:8787"));
        set(&request, &mut answer, "s", "v", 0);
        let all: Vec<&str> = answer.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
        let expected = ["s=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure", "s=v; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"];
        assert_eq!(all, expected);
    }
}
