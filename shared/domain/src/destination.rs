//! Which URLs a message may be pushed to: the SSRF guard's rules.
//!
//! Stage: publish calls [`parse`] on the text it is given; deliver's HTTP client calls
//! [`address_allowed`] on every address a name resolved to, on every attempt, and pins the socket
//! to one that passed. Beside URLs a destination can be a workflow, whose runs messages start: how that
//! is written in their place is here too. Out of scope: name resolution, sockets and redirects (`platform`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::address;

/// Longest accepted URL in characters, as given and again after percent-encoding and IDNA.
pub const URL_CHARS_MAX: usize = 2048;

/// What a stored destination begins with that is no URL: the name of the workflow follows, of which a message starts a run.
pub const WORKFLOW: &str = "workflow:";

/// The workflow whose runs messages to this destination start; `None` for a URL.
#[must_use]
pub fn workflow(destination: &str) -> Option<&str> {
    destination.strip_prefix(WORKFLOW)
}

/// What is shown of a destination: its URL, or else its workflow.
#[must_use]
pub fn shown(destination: Option<String>) -> (Option<String>, Option<String>) {
    let workflow = destination.as_deref().and_then(workflow).map(str::to_owned);
    (destination.filter(|_| workflow.is_none()), workflow)
}

/// What the operator permits beyond `https://` to public addresses. The default is the strict policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Permits `http://` destinations.
    pub allow_http: bool,
    /// Ranges exempt from the address rules; one that holds a loopback address also permits
    /// `localhost` names.
    pub allow_cidrs: Vec<IpNet>,
}

/// Why a destination is refused; each message says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The URL exceeds [`URL_CHARS_MAX`].
    #[error("URL is too long: at most 2048 characters are allowed, counted after percent-encoding")]
    TooLong,
    /// Whitespace or a control character, anywhere.
    #[error("URL contains whitespace or a control character: it must be percent-encoded, as in %20")]
    Whitespace,
    /// Not an absolute URL of an accepted scheme.
    #[error("URL must begin with https:// (or http://, where the operator allows it)")]
    Scheme,
    /// `http://` under a policy that asks for TLS.
    #[error("http:// is not allowed here: use https://")]
    HttpRefused,
    /// No host between `//` and the path.
    #[error("URL has no host: expected https://host/path")]
    NoHost,
    /// A `user:password@` part, also an empty one.
    #[error("URL must not hold a user name or password: send credentials in a header")]
    Userinfo,
    /// Port 0.
    #[error("port 0 is not allowed: use 1 to 65535")]
    PortZero,
    /// The host is a name that only means something inside a network.
    #[error("host {0:?} is not a public name: use a fully qualified domain name")]
    PrivateName(String),
    /// The host is an address that is not on the public internet.
    #[error("address {address} is not allowed ({special_use}): use a public address")]
    PrivateAddress {
        /// The address, however the URL spelled it.
        address: IpAddr,
        /// The range's use and source.
        special_use: &'static str,
    },
    /// The WHATWG URL parser refused it.
    #[error("URL is not valid ({0}): expected https://host[:port]/path?query")]
    Syntax(#[from] url::ParseError),
}

impl DestinationError {
    /// Whether an operator's setting stands behind it, and not the text alone.
    pub fn is_policy(&self) -> bool {
        matches!(self, Self::HttpRefused | Self::PrivateName(_) | Self::PrivateAddress { .. })
    }
}

/// Parses `text` by the WHATWG URL Standard and judges everything about it that needs no lookup.
///
/// Returns the normalised URL; a fragment is dropped, because no server ever receives one (RFC 9110
/// section 7.1). A name may still resolve to a private address: [`address_allowed`] judges that.
///
/// # Errors
/// The first rule the text breaks, as a [`DestinationError`].
pub fn parse(policy: &UrlPolicy, text: &str) -> Result<Url, DestinationError> {
    if text.chars().count() > URL_CHARS_MAX {
        return Err(DestinationError::TooLong);
    }
    // The WHATWG parser strips tabs and newlines without a word; what was signed off by a reader
    // must be what is called.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(DestinationError::Whitespace);
    }
    check_authority(policy, text)?;
    let mut url = Url::parse(text)?;
    url.set_fragment(None);
    if url.as_str().len() > URL_CHARS_MAX {
        return Err(DestinationError::TooLong);
    }
    if url.port() == Some(0) {
        return Err(DestinationError::PortZero);
    }
    match url.host() {
        None => Err(DestinationError::NoHost),
        Some(Host::Domain(name)) => check_name(policy, name),
        Some(Host::Ipv4(ip)) => check_address(policy, ip.into()),
        Some(Host::Ipv6(ip)) => check_address(policy, ip.into()),
    }?;
    Ok(url)
}

/// Judges `scheme://authority` before the parser repairs it: it would take `https:host`,
/// `https:///host` and `https://@host` for `https://host`.
fn check_authority(policy: &UrlPolicy, text: &str) -> Result<(), DestinationError> {
    let (scheme, rest) = text.split_once("://").ok_or(DestinationError::Scheme)?;
    if scheme.eq_ignore_ascii_case("http") && !policy.allow_http {
        return Err(DestinationError::HttpRefused);
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(DestinationError::Scheme);
    }
    match rest.split(['/', '\\', '?', '#']).next() {
        None | Some("") => Err(DestinationError::NoHost),
        Some(authority) if authority.contains('@') => Err(DestinationError::Userinfo),
        Some(_) => Ok(()),
    }
}

/// Judges a host name already mapped to lower-case ASCII by the parser.
fn check_name(policy: &UrlPolicy, name: &str) -> Result<(), DestinationError> {
    let rooted = name.strip_suffix('.').unwrap_or(name);
    let top = rooted.rsplit('.').next().unwrap_or(rooted);
    let public = match top {
        // RFC 6761: every name under localhost is loopback.
        "localhost" => allows_loopback(policy),
        // RFC 6762 (mDNS) and ICANN's private-use domain, where metadata.google.internal lives.
        "local" | "internal" => false,
        _ => rooted.contains('.'),
    };
    if public && !rooted.split('.').any(str::is_empty) {
        return Ok(());
    }
    Err(DestinationError::PrivateName(name.to_owned()))
}

fn allows_loopback(policy: &UrlPolicy) -> bool {
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    loopback.iter().any(|ip| exempt(policy, *ip))
}

fn check_address(policy: &UrlPolicy, address: IpAddr) -> Result<(), DestinationError> {
    match address::special_use(address) {
        Some(special_use) if !exempt(policy, address) => Err(DestinationError::PrivateAddress { address, special_use }),
        _ => Ok(()),
    }
}

/// Says whether a socket to `ip` may be opened: a public address (`address::special_use`), or one
/// that an allowed range contains.
///
/// An IPv4-mapped address is exempt where its IPv4 address is; never the other way round, or
/// allowing `::/0` would open every IPv4 network too.
#[must_use]
pub fn address_allowed(policy: &UrlPolicy, ip: IpAddr) -> bool {
    check_address(policy, ip).is_ok()
}

fn exempt(policy: &UrlPolicy, ip: IpAddr) -> bool {
    let canonical = ip.to_canonical();
    policy.allow_cidrs.iter().any(|range| range.contains(&ip) || range.contains(&canonical))
}

#[cfg(test)]
#[path = "destination_tests.rs"]
mod tests;
