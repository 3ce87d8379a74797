//! Which requests go through a proxy. All clients, those of FIC and the Collector and that of the API server, ask here, so that they
//! read `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` in the same way.
//!
//! The matcher of hyper-util, which reqwest uses too, decides whether an entry of `NO_PROXY` names a host. It knows
//! neither ports nor `*` for addresses, so both are resolved before. The reader of kube is not used: it compares
//! `NO_PROXY` with the address of the proxy, and rejects a trailing comma.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Url};
use thiserror::Error;

/// What `*` stands for. The matcher applies `*` to names only.
const EVERYTHING: &str = "*,0.0.0.0/0,::/0";

/// A proxy that the matcher of the exceptions stands for. It is never connected to.
const ANY_PROXY: &str = "http://proxy";

/// A variable does not contain the URL of a proxy. The value is not shown: it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the variable {0} is not the URL of an HTTP proxy; use a URL such as http://proxy.example:3128")]
pub struct ProxyError(&'static str);

/// The proxies that the environment names, and the hosts that are reached without one.
///
/// It has no `Debug`, because the URL of a proxy may contain a password.
#[derive(Clone)]
pub struct Proxies {
    http: Result<Option<Url>, ProxyError>,
    https: Result<Option<Url>, ProxyError>,
    exceptions: Vec<Exceptions>,
}

/// The entries of `NO_PROXY` for one port, or for every port.
struct Exceptions {
    port: Option<u16>,
    hosts: String,
    matcher: Matcher,
}

impl Proxies {
    /// A client of the operator that uses these proxies. It trusts these certificates in addition to those of the system.
    pub fn client(self, roots: Vec<Certificate>) -> ClientBuilder {
        Client::builder()
            .user_agent(crate::USER_AGENT)
            // A redirect would send what a request has, such as a token, to an address that the operator's flags do not name.
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_merge(roots)
            .proxy(Proxy::custom(move |url| self.for_url(url).ok().flatten().cloned()))
    }

    /// The proxies that the environment of this process names.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// The proxies that these variables name. Of each variable the name in capitals counts first, and one that is
    /// empty counts as not set.
    #[must_use]
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, variable(name)?)).filter(|(_, value)| !value.trim().is_empty()))
        };
        let proxy = |names: &[&'static str]| first(names).map(|(name, value)| proxy_url(name, &value)).transpose();
        Self {
            http: proxy(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            exceptions: exceptions(&first(&["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default()),
        }
    }

    /// The proxy for requests to this address; none if they are sent directly.
    ///
    /// # Errors
    /// When the variable for this address does not contain the URL of a proxy.
    pub fn for_url(&self, url: &Url) -> Result<Option<&Url>, ProxyError> {
        if self.exceptions.iter().any(|exceptions| exceptions.contain(url)) {
            return Ok(None);
        }
        let proxy = if url.scheme() == "http" { &self.http } else { &self.https };
        proxy.as_ref().map(Option::as_ref).map_err(|error| *error)
    }
}

/// As with curl, a URL without a scheme is one of `http://`.
fn proxy_url(name: &'static str, value: &str) -> Result<Url, ProxyError> {
    let value = value.trim();
    let url = if value.contains("://") { Url::parse(value) } else { Url::parse(&format!("http://{value}")) };
    let is_usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.ok().filter(is_usable).ok_or(ProxyError(name))
}

fn exceptions(no_proxy: &str) -> Vec<Exceptions> {
    let mut groups: Vec<(Option<u16>, Vec<&str>)> = vec![];
    for (host, port) in no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(host_and_port) {
        match groups.iter_mut().find(|(other, _)| *other == port) {
            Some((_, hosts)) => hosts.push(host),
            None => groups.push((port, vec![host])),
        }
    }
    groups.into_iter().map(|(port, hosts)| Exceptions::new(port, hosts.join(","))).collect()
}

/// Splits an entry such as `example.com:8443` or `[::1]:8443`. A port is optional, and so are the brackets without one.
fn host_and_port(entry: &str) -> (&str, Option<u16>) {
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        Some(_) | None => (entry, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = if host == "*" { EVERYTHING } else { host };
    // `*.example.com` means the same as `.example.com`.
    (host.strip_prefix('*').filter(|suffix| suffix.starts_with('.')).unwrap_or(host), port)
}

impl Exceptions {
    fn new(port: Option<u16>, hosts: String) -> Self {
        let matcher = Matcher::builder().all(ANY_PROXY).no(hosts.as_str()).build();
        Self { port, hosts, matcher }
    }

    fn contain(&self, url: &Url) -> bool {
        if self.port.is_some_and(|port| url.port_or_known_default() != Some(port)) {
            return false;
        }
        let address = url.as_str().parse::<http::Uri>();
        address.is_ok_and(|address| self.matcher.intercept(&address).is_none())
    }
}

impl Clone for Exceptions {
    fn clone(&self) -> Self {
        Self::new(self.port, self.hosts.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let value = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into());
        Proxies::new(value)
    }

    /// The proxy for an address, without the slash that every URL ends with.
    fn proxy_of(proxies: &Proxies, address: &str) -> Result<Option<String>, ProxyError> {
        let url = address.parse().expect("a URL");
        Ok(proxies.for_url(&url)?.map(|proxy| proxy.as_str().trim_end_matches('/').to_owned()))
    }

    fn is_direct(no_proxy: &str, address: &str) -> bool {
        let proxies = proxies(&[("ALL_PROXY", "http://proxy:3128"), ("NO_PROXY", no_proxy)]);
        proxy_of(&proxies, address).expect("the variables are valid").is_none()
    }

    #[test]
    fn proxy_of_the_scheme_comes_before_the_proxy_of_all() {
        for (variables, http, https) in [
            (&[][..], None, None),
            (&[("HTTPS_PROXY", "http://s:1")], None, Some("http://s:1")),
            (&[("https_proxy", "http://s:1")], None, Some("http://s:1")),
            (&[("HTTP_PROXY", "http://h:1")], Some("http://h:1"), None),
            (&[("http_proxy", "http://h:1")], Some("http://h:1"), None),
            (&[("ALL_PROXY", "http://a:1")], Some("http://a:1"), Some("http://a:1")),
            (&[("all_proxy", "http://a:1"), ("HTTPS_PROXY", "https://s:1")], Some("http://a:1"), Some("https://s:1")),
            (&[("HTTPS_PROXY", "http://s:1"), ("https_proxy", "http://t:1")], None, Some("http://s:1")),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "http://t:1")], None, Some("http://t:1")),
            (&[("HTTPS_PROXY", " s:1 ")], None, Some("http://s:1")),
            (&[("HTTPS_PROXY", "http://user:p%40ss@s:1")], None, Some("http://user:p%40ss@s:1")),
        ] {
            let proxies = proxies(variables);
            assert_eq!(proxy_of(&proxies, "http://fic.example/a"), Ok(http.map(Into::into)), "{variables:?}");
            assert_eq!(proxy_of(&proxies, "https://fic.example/a"), Ok(https.map(Into::into)), "{variables:?}");
        }
    }

    #[test]
    fn invalid_proxy_is_an_error_without_its_value_for_the_addresses_that_need_it() {
        for value in ["socks5://user:pw@s:1", "ftp://user:pw@s", "http://", "http://user:pw@s:port"] {
            let proxies = proxies(&[("HTTPS_PROXY", value), ("NO_PROXY", "direct.example")]);
            let error = proxy_of(&proxies, "https://fic.example").expect_err(value).to_string();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("pw"), "{error}");
            assert_eq!(proxy_of(&proxies, "http://fic.example"), Ok(None), "{value}");
            assert_eq!(proxy_of(&proxies, "https://direct.example"), Ok(None), "{value}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_by_name_suffix_address_range_and_star() {
        for (no_proxy, address) in [
            ("10.96.0.1", "https://10.96.0.1:443"),
            ("10.96.0.0/12", "https://10.96.0.1"),
            ("fd00::/8", "https://[fd00::1]:6443"),
            ("fd00::1", "https://[fd00::1]:6443"),
            ("[fd00::1]", "https://[fd00::1]:6443"),
            ("[fd00::1]:6443", "https://[fd00::1]:6443"),
            ("api.example", "https://api.example:6443"),
            ("API.example", "https://api.EXAMPLE"),
            ("example", "https://api.example"),
            (".example", "https://api.example"),
            ("*.example", "https://api.example"),
            (".svc", "https://kubernetes.default.svc"),
            ("api.example:6443", "https://api.example:6443"),
            ("api.example:443", "https://api.example"),
            ("10.96.0.1:443", "https://10.96.0.1"),
            ("*", "https://api.example"),
            ("*", "https://10.96.0.1"),
            ("*", "https://[fd00::1]"),
            ("other,*", "https://10.96.0.1"),
            ("*:6443", "https://10.96.0.1:6443"),
            ("other,10.96.0.1,", "https://10.96.0.1"),
            (" other , 10.96.0.0/12 ,, ", "https://10.96.0.1"),
        ] {
            assert!(is_direct(no_proxy, address), "{no_proxy:?} names {address}");
        }
    }

    #[test]
    fn no_proxy_does_not_name_other_hosts() {
        for (no_proxy, address) in [
            ("", "https://10.96.0.1"),
            (" , ", "https://10.96.0.1"),
            ("10.96.0.1", "https://10.96.0.2"),
            ("10.96.0.0/12", "https://10.112.0.1"),
            ("fd00::1", "https://[fd00::2]"),
            ("example", "https://counterexample"),
            (".example", "https://api.example.org"),
            ("api.example:6443", "https://api.example"),
            ("*:6443", "https://api.example"),
            ("10.96.0.1:6443", "https://10.96.0.1"),
            ("[fd00::1]:6443", "https://[fd00::1]"),
        ] {
            assert!(!is_direct(no_proxy, address), "{no_proxy:?} does not name {address}");
        }
        let lower_case = proxies(&[("ALL_PROXY", "http://proxy"), ("NO_PROXY", ""), ("no_proxy", "a.example")]);
        assert_eq!(proxy_of(&lower_case, "https://a.example"), Ok(None));
    }
}
