//! Reads the configuration of the Kubernetes client: a kubeconfig, or the service account of the pod.
//!
//! The kubeconfig is not resolved by kube itself, which reads `NO_PROXY` in its own way, see [`crate::proxy`].

use http::Uri;
use kube::Config;
use kube::config::{AuthInfo, Cluster, Context, ExecAuthCluster, InClusterError, Kubeconfig, KubeconfigError};
use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use thiserror::Error;

use crate::proxy::{Proxies, ProxyError};

/// Why there is no configuration of the Kubernetes client.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is no usable kubeconfig, and the process does not run in a pod.
    #[error("no kubeconfig ({0}), and not in a cluster ({1})")]
    NotFound(#[source] Box<ConfigError>, InClusterError),
    /// The kubeconfig cannot be read, or its current context is not complete.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The certificates of the cluster in the kubeconfig are not valid.
    #[error("the certificate authority of the cluster is not a PEM file: {0}")]
    CertificateAuthority(#[from] pem::Error),
    /// The address of the API server in the kubeconfig is not a URL with a host.
    #[error("the server of the cluster is not a URL such as https://api.example:6443")]
    Server,
    /// A proxy variable is not valid.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Where the configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A kubeconfig.
    File,
    /// The service account of the Pod.
    Pod,
}

/// Loads the kubeconfig, or else the configuration of the pod. In a pod no proxy is used: the API server has an address
/// inside the cluster, which a proxy outside of it does not reach.
pub(super) fn load(proxies: &Proxies) -> Result<(Config, Origin), ConfigError> {
    let (mut config, origin) = match Kubeconfig::read().map_err(Into::into).and_then(|file| resolve(&file, proxies)) {
        Ok(config) => (config, Origin::File),
        Err(error @ ConfigError::Proxy(_)) => return Err(error),
        Err(kubeconfig) => {
            let not_found = |in_cluster| ConfigError::NotFound(Box::new(kubeconfig), in_cluster);
            (Config::incluster().map_err(not_found)?, Origin::Pod)
        }
    };
    config.apply_debug_overrides();
    Ok((config, origin))
}

/// The configuration for the current context of a kubeconfig.
fn resolve(kubeconfig: &Kubeconfig, proxies: &Proxies) -> Result<Config, ConfigError> {
    let context = current_context(kubeconfig)?;
    let cluster = cluster_of(kubeconfig, context)?;
    let server = cluster.server.as_deref().ok_or(KubeconfigError::MissingClusterUrl)?;
    let mut config = Config::new(server.parse().map_err(KubeconfigError::ParseClusterUrl)?);
    config.proxy_url = proxy_of(cluster, server, proxies)?;
    if let Some(namespace) = &context.namespace {
        config.default_namespace.clone_from(namespace);
    }
    let for_plugin = ExecAuthCluster::try_from(cluster)?;
    if let Some(bundle) = &for_plugin.certificate_authority_data {
        let certificates = CertificateDer::pem_slice_iter(bundle).map(|certificate| Ok(certificate?.to_vec()));
        config.root_cert = Some(certificates.collect::<Result<_, pem::Error>>()?);
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.auth_info = user_of(kubeconfig, context);
    if let Some(plugin) = config.auth_info.exec.as_mut().filter(|plugin| plugin.provide_cluster_info) {
        plugin.cluster = Some(for_plugin);
    }
    Ok(config)
}

/// `proxy-url` of the cluster, as for kubectl, or else the proxy that the environment names for this API server.
fn proxy_of(cluster: &Cluster, server: &str, proxies: &Proxies) -> Result<Option<Uri>, ConfigError> {
    let from_environment = || {
        let server: Url = server.parse().map_err(|_| ConfigError::Server)?;
        Ok::<_, ConfigError>(proxies.for_url(&server)?.map(ToString::to_string))
    };
    let proxy = match cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty()) {
        Some(proxy) => Some(proxy),
        None => from_environment()?,
    };
    Ok(proxy.map(|proxy| proxy.parse()).transpose().map_err(KubeconfigError::ParseProxyUrl)?)
}

fn current_context(kubeconfig: &Kubeconfig) -> Result<&Context, KubeconfigError> {
    let name = kubeconfig.current_context.as_ref().ok_or(KubeconfigError::CurrentContextNotSet)?;
    let named = kubeconfig.contexts.iter().find(|context| context.name == *name);
    named.and_then(|named| named.context.as_ref()).ok_or_else(|| KubeconfigError::LoadContext(name.clone()))
}

fn cluster_of<'a>(kubeconfig: &'a Kubeconfig, context: &Context) -> Result<&'a Cluster, KubeconfigError> {
    let name = &context.cluster;
    let named = kubeconfig.clusters.iter().find(|cluster| cluster.name == *name);
    named.and_then(|named| named.cluster.as_ref()).ok_or_else(|| KubeconfigError::LoadClusterOfContext(name.clone()))
}

/// The user of a context. A missing one means requests without credentials, as for kubectl.
fn user_of(kubeconfig: &Kubeconfig, context: &Context) -> AuthInfo {
    let named = context.user.as_ref().and_then(|name| kubeconfig.auth_infos.iter().find(|user| user.name == *name));
    named.and_then(|named| named.auth_info.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kubeconfig(cluster: &Value) -> Kubeconfig {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "contexts": [
                { "name": "there", "context": { "cluster": "none", "user": "none" } },
                { "name": "here", "context": { "cluster": "c", "user": "u", "namespace": "team" } },
            ],
            "clusters": [{ "name": "c", "cluster": cluster }],
            "users": [{ "name": "u", "user": { "token": "t", "exec": {
                "command": "login", "provideClusterInfo": true,
            } } }],
        });
        Kubeconfig::from_yaml(&kubeconfig.to_string()).expect("a kubeconfig")
    }

    /// The proxy for an API server of this cluster, without the slash that every URL ends with.
    fn proxy(cluster: &Value, no_proxy: &str) -> Option<String> {
        let variables = [("HTTPS_PROXY", "http://user:pw@proxy:3128"), ("NO_PROXY", no_proxy)];
        let proxies = Proxies::new(|name| Some(variables.iter().find(|(other, _)| *other == name)?.1.into()));
        let config = resolve(&kubeconfig(cluster), &proxies).expect("a configuration");
        config.proxy_url.map(|proxy| proxy.to_string().trim_end_matches('/').to_owned())
    }

    #[test]
    fn proxy_variables_apply_to_the_address_of_the_api_server() {
        let cluster = json!({ "server": "https://10.96.0.1:6443" });
        assert_eq!(proxy(&cluster, "").as_deref(), Some("http://user:pw@proxy:3128"));
        for no_proxy in ["10.96.0.1", "10.96.0.0/12", "10.96.0.1,", "fic.example, 10.96.0.1:6443 ", "*"] {
            assert_eq!(proxy(&cluster, no_proxy), None, "{no_proxy}");
        }
        for no_proxy in ["proxy", "10.97.0.1", "10.96.0.1:443", ",", "not a host"] {
            assert!(proxy(&cluster, no_proxy).is_some(), "{no_proxy}");
        }
    }

    #[test]
    fn proxy_url_of_the_kubeconfig_comes_first() {
        let cluster = json!({ "server": "https://10.96.0.1:6443", "proxy-url": "http://jump:8080" });
        for no_proxy in ["", "*", "10.96.0.1,"] {
            assert_eq!(proxy(&cluster, no_proxy).as_deref(), Some("http://jump:8080"), "{no_proxy}");
        }
    }

    #[test]
    fn every_field_of_the_current_context_is_used() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
        let pem = serde_json::to_value(k8s_openapi::ByteString(certificate.pem().into_bytes())).expect("base64");
        let cluster = json!({
            "server": "https://api.example", "insecure-skip-tls-verify": true, "tls-server-name": "kubernetes",
            "certificate-authority-data": pem,
        });
        let config = resolve(&kubeconfig(&cluster), &Proxies::new(|_| None)).expect("a configuration");
        assert_eq!(config.cluster_url, "https://api.example/");
        assert_eq!((config.default_namespace.as_str(), config.proxy_url), ("team", None));
        assert_eq!((config.accept_invalid_certs, config.tls_server_name.as_deref()), (true, Some("kubernetes")));
        assert_eq!(config.root_cert, Some(vec![certificate.der().to_vec()]));
        assert!(config.auth_info.token.is_some(), "the token is missing");
        let plugin = config.auth_info.exec.expect("the plugin");
        assert!(plugin.cluster.is_some_and(|cluster| cluster.server.as_deref() == Some("https://api.example")));
        let kubeconfig = |cluster| resolve(&kubeconfig(&cluster), &Proxies::new(|_| None));
        assert!(
            kubeconfig(json!({ "server": "https://api", "certificate-authority-data": "eA==" }))
                .is_ok_and(|config| config.root_cert == Some(vec![]))
        );
        assert!(matches!(kubeconfig(json!({})), Err(ConfigError::Kubeconfig(KubeconfigError::MissingClusterUrl))));
    }
}
