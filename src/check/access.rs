//! The credentials and the tenant: from a Secret, from `clouds.yaml`, or from variables.

use kube::api::ListParams;
use kube::{Api, Client};
use reqwest::Url;

use super::clouds::{self, Cloud};
use super::findings::Finding;
use crate::api::credentials::{Credentials, CredentialsSecret, SECRET_TYPE, SecretDefect};
use crate::api::key::ObjectKey;
use crate::api::plan::is_tenant_id;
use crate::cli::CheckArgs;
use crate::fic::Access;
use crate::index::list::list_each;
use crate::index::triggers::WatchedPlan;
use crate::text;

/// The pairs of variables, in the order in which they are looked for.
const PAIRS: [(&str, &str); 2] = [("FIC_API_KEY", "FIC_API_SECRET"), ("OS_USERNAME", "OS_PASSWORD")];
/// The variables with the tenant.
const TENANTS: [&str; 3] = ["FIC_TENANT_ID", "OS_PROJECT_ID", "OS_TENANT_ID"];

const NO_CREDENTIALS: &str = "no credentials: name a Secret with --secret, a cloud of clouds.yaml with --cloud, or set the variables OS_USERNAME (the API \
     key) and OS_PASSWORD (the API secret), or FIC_API_KEY and FIC_API_SECRET";
const NO_TENANT: &str =
    "no tenant: name it with --tenant-id, or with the variable OS_PROJECT_ID, OS_TENANT_ID or FIC_TENANT_ID";

/// Where the credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This Secret.
    Secret(ObjectKey),
    /// This cloud of `clouds.yaml`.
    Cloud(String),
    /// These variables: the API key and the API secret.
    Variables(&'static str, &'static str),
}

/// The credentials and the tenant.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) access: Access,
    pub(super) origin: Origin,
    /// The address of Keystone, and what names it.
    pub(super) keystone_endpoint: Option<(String, Url)>,
}

/// Why there are no credentials.
pub(super) enum AccessError {
    /// The flags and variables are not complete.
    Usage(String),
    /// They name credentials that cannot be used.
    Found(Finding),
}

fn usage(message: impl Into<String>) -> AccessError {
    AccessError::Usage(message.into())
}

/// Finds the credentials and the tenant.
pub(super) async fn find(
    arguments: &CheckArgs,
    client: Option<&Client>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Source, AccessError> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if let Some(secret) = &arguments.secret {
        let client = client.ok_or_else(|| usage("--secret needs a kubeconfig, or a Pod with a service account"))?;
        return of_secret(arguments.tenant_id.as_deref(), client, secret).await;
    }
    match arguments.cloud.clone().or_else(|| variable("OS_CLOUD")) {
        Some(name) => {
            let cloud = clouds::find(&name, variable).map_err(AccessError::Usage)?;
            of_cloud(arguments.tenant_id.as_deref(), name, cloud)
        }
        None => of_variables(arguments.tenant_id.as_deref(), variable),
    }
}

async fn of_secret(tenant: Option<&str>, client: &Client, key: &ObjectKey) -> Result<Source, AccessError> {
    let found = |message: String, action: &str| AccessError::Found(Finding::trouble("credentials", message, action));
    let secrets = Api::<CredentialsSecret>::namespaced(client.clone(), &key.namespace);
    let named = ListParams::default().fields(&format!("metadata.name={},type={SECRET_TYPE}", key.name));
    let mut secret = None;
    list_each(&secrets, &named, |found| secret = Some(found)).await.map_err(|error| {
        let message = format!("Secret {key} cannot be read: {}", text::error_chain(&error));
        found(message, "Check the kubeconfig, and the rights to list Secrets in that namespace.")
    })?;
    let secret: CredentialsSecret = secret.ok_or_else(|| {
        let message = format!("There is no Secret {key} of type {SECRET_TYPE}.");
        found(message, "Create it. The type of a Secret is immutable: delete one that has another type first.")
    })?;
    let credentials = secret.credentials.0.map_err(|defect| {
        found(format!("Secret {key} cannot be used: {}.", describe(&defect)), "Correct the Secret.")
    })?;
    let tenant = match tenant {
        Some(tenant) => tenant.to_owned(),
        None => tenant_of(client, key).await?,
    };
    Ok(source(credentials, &tenant, Origin::Secret(key.clone()), None))
}

/// The tenant of the plans that refer to this Secret.
async fn tenant_of(client: &Client, secret: &ObjectKey) -> Result<String, AccessError> {
    let plans = Api::<WatchedPlan>::namespaced(client.clone(), &secret.namespace);
    let mut tenants = Vec::new();
    let visit = |plan: WatchedPlan| {
        let Ok(plan) = plan.0 else { return };
        if ObjectKey::of_secret(&plan) == *secret && !tenants.contains(&plan.spec.tenant_id) {
            tenants.push(plan.spec.tenant_id);
        }
    };
    // Without the list there is no tenant, as without a plan.
    let _ = list_each(&plans, &ListParams::default(), visit).await;
    match <[String; 1]>::try_from(tenants) {
        Ok([tenant]) => Ok(tenant),
        Err(_) => Err(usage(format!(
            "no tenant: name it with --tenant-id; the plans in namespace {} do not refer to Secret {} for exactly one tenant",
            secret.namespace, secret.name
        ))),
    }
}

fn of_cloud(tenant: Option<&str>, name: String, cloud: Cloud) -> Result<Source, AccessError> {
    let tenant = tenant.map(str::to_owned).or(cloud.tenant);
    let tenant =
        tenant.ok_or_else(|| usage(format!("cloud {name} has no project_id: name the tenant with --tenant-id")))?;
    let endpoint = cloud.auth_url.as_deref().map(keystone_endpoint).transpose();
    let endpoint = endpoint.map_err(|message| usage(format!("auth_url of cloud {name}: {message}")))?;
    let tenant = checked_tenant(&format!("project_id of cloud {name}"), &tenant)?;
    let credentials = parse(&cloud.username, &cloud.password, ["username", "password"])?;
    let named = endpoint.map(|endpoint| (format!("auth_url of cloud {name}"), endpoint));
    Ok(source(credentials, &tenant, Origin::Cloud(name), named))
}

fn of_variables(tenant: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Source, AccessError> {
    for (key_name, secret_name) in PAIRS {
        let (key, secret) = match (variable(key_name), variable(secret_name)) {
            (Some(key), Some(secret)) => (key, secret),
            (None, None) => continue,
            (Some(_), None) => return Err(usage(format!("{key_name} is set, and {secret_name} is not"))),
            (None, Some(_)) => return Err(usage(format!("{secret_name} is set, and {key_name} is not"))),
        };
        let credentials = parse(&key.into(), &secret.into(), [key_name, secret_name])?;
        let tenant = match tenant {
            Some(tenant) => tenant.to_owned(),
            None => tenant_of_variables(&variable)?,
        };
        let endpoint = match variable("OS_AUTH_URL") {
            Some(url) => {
                let endpoint = keystone_endpoint(&url).map_err(|message| usage(format!("OS_AUTH_URL: {message}")))?;
                Some(("OS_AUTH_URL".into(), endpoint))
            }
            None => None,
        };
        return Ok(source(credentials, &tenant, Origin::Variables(key_name, secret_name), endpoint));
    }
    Err(usage(NO_CREDENTIALS))
}

fn tenant_of_variables(variable: impl Fn(&str) -> Option<String>) -> Result<String, AccessError> {
    let named = TENANTS.into_iter().find_map(|name| Some((name, variable(name)?)));
    let (name, tenant) = named.ok_or_else(|| usage(NO_TENANT))?;
    checked_tenant(name, &tenant)
}

fn source(credentials: Credentials, tenant: &str, origin: Origin, keystone_endpoint: Option<(String, Url)>) -> Source {
    let access = Access { namespace: Box::default(), ticket: 0, tenant: tenant.into(), credentials };
    Source { access, origin, keystone_endpoint }
}

fn checked_tenant(name: &str, tenant: &str) -> Result<String, AccessError> {
    let tenant = tenant.trim();
    if is_tenant_id(tenant) {
        Ok(tenant.to_owned())
    } else {
        Err(usage(format!("{name} is not the ID of a tenant: it consists of 32 lower-case hexadecimal digits")))
    }
}

/// `names` are those of the API key and of the API secret.
fn parse(
    key: &secrecy::SecretString,
    secret: &secrecy::SecretString,
    names: [&str; 2],
) -> Result<Credentials, AccessError> {
    Credentials::parse(key, secret).map_err(|defect| {
        let name = if matches!(defect.key(), Some("apiSecret")) { names[1] } else { names[0] };
        usage(format!("{name}: {}", describe(&defect)))
    })
}

fn describe(defect: &SecretDefect) -> String {
    match defect {
        SecretDefect::WrongType => format!("it does not have type {SECRET_TYPE}"),
        SecretDefect::KeyMissing(key) => format!("it has no key {key}"),
        SecretDefect::KeyEmpty(key) => format!("{key} is empty"),
        SecretDefect::NotUtf8(key) => format!("{key} is not UTF-8 text"),
        SecretDefect::TooLong(key) => format!("{key} is too long"),
    }
}

/// The base URL of Keystone v3. Other tools accept it without the version too.
fn keystone_endpoint(text: &str) -> Result<Url, String> {
    let mut url = crate::cli::endpoint(text.trim())?;
    let is_versioned = url.path_segments().is_some_and(|mut path| path.any(|segment| segment == "v3"));
    if !is_versioned && let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("v3");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::ExposeSecret;

    use super::*;

    const TENANT: &str = "db8b0e40743f460685040c46167cf19e";

    fn of(tenant: Option<&str>, variables: &[(&str, &str)]) -> Result<Source, String> {
        let variables = variables.iter().copied().collect::<BTreeMap<_, _>>();
        of_variables(tenant, |name| variables.get(name).map(ToString::to_string)).map_err(|error| match error {
            AccessError::Usage(message) => message,
            AccessError::Found(finding) => finding.message,
        })
    }

    #[test]
    fn variables_are_read_in_pairs() {
        let pair = [("OS_USERNAME", " key\n"), ("OS_PASSWORD", "secret"), ("OS_TENANT_ID", TENANT)];
        let source = of(None, &pair).expect("complete");
        assert_eq!(source.origin, Origin::Variables("OS_USERNAME", "OS_PASSWORD"));
        assert_eq!((&*source.access.tenant, source.keystone_endpoint), (TENANT, None));
        assert_eq!(source.access.credentials.api_key.expose_secret(), "key");
        let both = [&pair[..], &[("FIC_API_KEY", "k"), ("FIC_API_SECRET", "s")]].concat();
        assert_eq!(of(None, &both).expect("complete").origin, Origin::Variables("FIC_API_KEY", "FIC_API_SECRET"));
        // Half a pair is not completed from the other one.
        let half = [&pair[..], &[("FIC_API_KEY", "k")]].concat();
        assert_eq!(of(None, &half).expect_err("half"), "FIC_API_KEY is set, and FIC_API_SECRET is not");
        assert_eq!(of(None, &pair[1..]).expect_err("half"), "OS_PASSWORD is set, and OS_USERNAME is not");
        assert_eq!(of(None, &[]).expect_err("none"), NO_CREDENTIALS);
    }

    #[test]
    fn tenant_is_that_of_the_flag_or_of_a_variable() {
        let pair = [("OS_USERNAME", "key"), ("OS_PASSWORD", "secret")];
        assert_eq!(of(None, &pair).expect_err("no tenant"), NO_TENANT);
        assert_eq!(&*of(Some(TENANT), &pair).expect("complete").access.tenant, TENANT);
        let wrong = [&pair[..], &[("OS_PROJECT_ID", "DB8B")]].concat();
        assert!(of(None, &wrong).expect_err("not an ID").starts_with("OS_PROJECT_ID is not the ID of a tenant"));
    }

    #[test]
    fn address_of_keystone_may_lack_its_version() {
        let of = |url: &str| keystone_endpoint(url).map(|url| url.to_string());
        for url in ["https://api.ntt.com/keystone", "https://api.ntt.com/keystone/", "https://api.ntt.com/keystone/v3"]
        {
            assert_eq!(of(url).expect("a URL"), "https://api.ntt.com/keystone/v3");
        }
        assert!(of("api.ntt.com").is_err());
    }
}
