//! *Observe*: what Keystone and FIC answer. Each question is asked once, and only if the one before it was answered.

use reqwest::Url;

use crate::cli::FicArgs;
use crate::domain::contract::{Contract, OperationStatus};
use crate::domain::error::FicError;
use crate::fic::Access;
use crate::fic::reader::FicReader;
use crate::proxy::{Proxies, ProxyError};

/// An endpoint, and the proxy on the way to it.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) endpoint: Url,
    /// Without a password.
    pub(super) proxy: Option<String>,
}

/// The ways to both services.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    pub(super) keystone: Route,
    pub(super) fic: Route,
}

/// What Keystone and FIC answer.
#[derive(Debug)]
pub(super) struct FicFacts {
    pub(super) routes: Routes,
    pub(super) sign_in: Result<(), FicError>,
    /// None: not asked.
    pub(super) contracts: Option<Result<Vec<Contract>, FicError>>,
    /// The answer to Show for the contract in the list; none: not asked.
    pub(super) shown: Option<Result<Option<Contract>, FicError>>,
    /// Why the last operation failed, if it has.
    pub(super) operation_error: Option<Box<str>>,
}

impl FicFacts {
    /// The contract, as Show returned it.
    pub(super) fn contract(&self) -> Option<&Contract> {
        self.shown.as_ref()?.as_ref().ok()?.as_ref()
    }
}

pub(super) fn routes(arguments: &FicArgs, proxies: &Proxies) -> Result<Routes, ProxyError> {
    let route = |endpoint: &Url| {
        Ok::<_, ProxyError>(Route {
            endpoint: endpoint.clone(),
            proxy: proxies.for_url(endpoint)?.map(without_password),
        })
    };
    Ok(Routes { keystone: route(&arguments.keystone_endpoint)?, fic: route(&arguments.fic_endpoint)? })
}

/// The scheme, the host and the port of a proxy.
fn without_password(proxy: &Url) -> String {
    proxy.origin().ascii_serialization()
}

pub(super) async fn observe(fic: &FicReader, access: &Access, routes: Routes) -> FicFacts {
    let mut facts =
        FicFacts { routes, sign_in: fic.sign_in(access).await, contracts: None, shown: None, operation_error: None };
    if facts.sign_in.is_err() {
        return facts;
    }
    let contracts = fic.list(access).await;
    let listed = contracts.as_ref().ok().and_then(|contracts| Some(contracts.first()?.id.clone()));
    facts.contracts = Some(contracts);
    if let Some(id) = listed {
        facts.shown = Some(fic.show(access, &id).await);
        if facts.contract().is_some_and(|contract| contract.status == OperationStatus::Error) {
            facts.operation_error = fic.operation_error(access, &id).await;
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_is_shown_without_its_password() {
        let proxy = Url::parse("http://user:password@proxy.example:3128").expect("a URL");
        assert_eq!(without_password(&proxy), "http://proxy.example:3128");
    }
}
