//! Reads the files from the API server. Each read that fails is named in the archive, and the others go on.

use std::fmt::Write as _;
use std::io;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, ListParams, LogParams};
use kube::core::DynamicObject;
use kube::{Api, Client, Resource};
use serde_json::Value;

use super::archive::Archive;
use super::redact;
use crate::api::crd;
use crate::api::credentials::SECRET_TYPE;
use crate::api::plan::PremiumSupportPlan;
use crate::cli::ReportArgs;
use crate::index::list::list_each;
use crate::text;

/// Of each log the last lines, and at most so many bytes.
const LOG_LINES: i64 = 20_000;
const LOG_BYTES: i64 = 16 * 1024 * 1024;

/// The label of the operator's Pods.
const OPERATOR: &str = concat!("app.kubernetes.io/name=", env!("CARGO_PKG_NAME"));
/// The port of `/metrics`: its name, and its number where the Pod does not name it.
const PORT: (&str, u64) = ("http", 8080);

/// Reads for one report.
pub(super) struct Collector<'a> {
    pub(super) client: Client,
    pub(super) arguments: &'a ReportArgs,
    pub(super) archive: &'a mut Archive,
}

impl Collector<'_> {
    /// Adds all files.
    pub(super) async fn all(&mut self) -> io::Result<()> {
        let (named, all) = (format!("metadata.name={}", crd::NAME), ListParams::default());
        let fields = |selector: &str| ListParams::default().fields(selector);
        let operator = Some(self.arguments.operator_namespace.as_str());
        let plans = self.arguments.namespace.as_deref();
        self.versions().await?;
        self.objects::<CustomResourceDefinition>("crd.yaml", None, &fields(&named), redact::object).await?;
        self.objects::<PremiumSupportPlan>("plans.yaml", plans, &all, redact::object).await?;
        let of_plans = fields("regarding.kind=PremiumSupportPlan");
        self.objects::<Event>("events.yaml", plans, &of_plans, redact::object).await?;
        let credentials = fields(&format!("type={SECRET_TYPE}"));
        self.objects::<Secret>("secrets.yaml", plans, &credentials, redact::secret).await?;
        self.objects::<Lease>("leases.yaml", operator, &all, redact::object).await?;
        let labelled = ListParams::default().labels(OPERATOR);
        self.objects::<Deployment>("operator/deployments.yaml", operator, &labelled, redact::object).await?;
        let pods = self.objects::<Pod>("operator/pods.yaml", operator, &labelled, redact::object).await?;
        if pods.as_ref().is_some_and(Vec::is_empty) {
            let namespace = &self.arguments.operator_namespace;
            let why = format!("namespace {namespace} has no Pod with the label {OPERATOR}; see --operator-namespace");
            self.archive.miss("operator", &why);
        }
        for pod in pods.into_iter().flatten() {
            self.logs(&pod).await?;
            self.metrics(&pod).await?;
        }
        Ok(())
    }

    /// The versions of the API server and of this command.
    async fn versions(&mut self) -> io::Result<()> {
        let mut text = format!("{} {}\n", crate::NAME, env!("CARGO_PKG_VERSION"));
        match self.client.apiserver_version().await {
            Ok(version) => {
                let _ = writeln!(text, "Kubernetes {}", text::sanitize_word(&version.git_version, &[]));
            }
            Err(error) => self.archive.miss("version of the API server", &text::error_chain(&error)),
        }
        self.archive.add("versions.txt", text.as_bytes())
    }

    /// Adds a file with the objects of a kind. The objects are as the API server returned them, also those that this
    /// version cannot decode; none if they cannot be read.
    async fn objects<K>(
        &mut self,
        file: &str,
        namespace: Option<&str>,
        parameters: &ListParams,
        redact: fn(&Value) -> Value,
    ) -> io::Result<Option<Vec<Value>>>
    where
        K: Resource<DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api = match namespace {
            Some(namespace) => Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let mut objects = Vec::new();
        let mut yaml = String::new();
        let visit = |object: DynamicObject| {
            let mut object = redact(&serde_json::to_value(object).unwrap_or_default());
            object["apiVersion"] = resource.api_version.clone().into();
            object["kind"] = resource.kind.clone().into();
            let _ = write!(yaml, "---\n{}", serde_saphyr::to_string(&object).unwrap_or_default());
            objects.push(object);
        };
        if let Err(error) = list_each(&api, parameters, visit).await {
            self.archive.miss(file, &text::error_chain(&error));
            return Ok(None);
        }
        self.archive.add(file, yaml.as_bytes())?;
        Ok(Some(objects))
    }

    /// The log of each container, and that of its last run.
    async fn logs(&mut self, pod: &Value) -> io::Result<()> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.arguments.operator_namespace);
        let has_restarted = |container: &Value| {
            let statuses = pod["status"]["containerStatuses"].as_array();
            let mut statuses = statuses.into_iter().flatten();
            statuses.any(|status| status["name"] == container["name"] && status["restartCount"].as_u64() > Some(0))
        };
        for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
            let runs = if has_restarted(container) { &[false, true][..] } else { &[false] };
            let container = container["name"].as_str().unwrap_or_default();
            for previous in runs {
                let suffix = if *previous { ".previous" } else { "" };
                let file = format!("operator/{name}/{container}{suffix}.log");
                let parameters = LogParams {
                    container: Some(container.to_owned()),
                    limit_bytes: Some(LOG_BYTES),
                    previous: *previous,
                    tail_lines: Some(LOG_LINES),
                    timestamps: true,
                    ..LogParams::default()
                };
                match pods.logs(name, &parameters).await {
                    Ok(log) => self.archive.add(&file, log.as_bytes())?,
                    Err(error) => self.archive.miss(&file, &text::error_chain(&error)),
                }
            }
        }
        Ok(())
    }

    /// The metrics, through the API server.
    async fn metrics(&mut self, pod: &Value) -> io::Result<()> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let file = format!("operator/{name}/metrics.txt");
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
        let port = ports.find(|port| port["name"] == PORT.0).and_then(|port| port["containerPort"].as_u64());
        let namespace = &self.arguments.operator_namespace;
        let port = port.unwrap_or(PORT.1);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/metrics");
        let metrics = match http::Request::get(path).body(Vec::new()) {
            Ok(request) => self.client.request_text(request).await.map_err(|error| text::error_chain(&error)),
            Err(error) => Err(text::error_chain(&error)),
        };
        match metrics {
            Ok(metrics) => self.archive.add(&file, metrics.as_bytes()),
            Err(error) => {
                self.archive.miss(&file, &error);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An API server with one Pod of the operator, which has restarted, and no right to read Leases.
    fn client() -> Client {
        let service = tower::service_fn(|request: Request<Body>| {
            let list = |items: Value| (200, json!({ "metadata": {}, "items": items }).to_string());
            let (code, body) = match (request.uri().path(), request.uri().query().unwrap_or_default()) {
                (path, _) if path.ends_with("/pods") => list(json!([{
                    "metadata": { "name": "operator-1", "namespace": "ops" },
                    "spec": { "containers": [{ "name": "operator", "ports": [{ "name": "http", "containerPort": 9090 }] }] },
                    "status": { "containerStatuses": [{ "name": "operator", "restartCount": 1 }] },
                }])),
                (path, query) if path.ends_with("/log") => {
                    (200, if query.contains("previous=true") { "before" } else { "now" }.to_owned())
                }
                ("/api/v1/namespaces/ops/pods/operator-1:9090/proxy/metrics", _) => (200, "fic_up 1\n".to_owned()),
                (path, _) if path.ends_with("/leases") => {
                    let status = json!({ "kind": "Status", "status": "Failure", "code": 403, "message": "no leases" });
                    (403, status.to_string())
                }
                _ => list(json!([])),
            };
            let response = Response::builder().status(code).body(Body::from(body.into_bytes()));
            std::future::ready(Ok::<_, std::io::Error>(response.expect("a valid response")))
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn pods_have_logs_and_metrics_and_what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("report.tar.gz");
        let arguments = ReportArgs { namespace: None, operator_namespace: "ops".into(), output: file.clone() };
        let mut archive = Archive::at(&file).expect("created");
        let mut collector = Collector { client: client(), arguments: &arguments, archive: &mut archive };
        collector.all().await.expect("written");
        let summary = archive.finish().expect("complete");
        assert!(summary.missing.iter().any(|missing| missing.starts_with("leases.yaml: ")), "{:?}", summary.missing);
        let mut read = tar::Archive::new(GzDecoder::new(std::fs::File::open(&file).expect("a file")));
        let mut files = std::collections::BTreeMap::new();
        for entry in read.entries().expect("an archive") {
            let mut entry = entry.expect("a file");
            let name = entry.path().expect("a path").display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            files.insert(name, text);
        }
        assert_eq!(files.len(), summary.files);
        let of = |name: &str| files.get(&format!("fic-support-report/{name}")).map(String::as_str);
        assert_eq!(of("operator/operator-1/operator.log"), Some("now"));
        assert_eq!(of("operator/operator-1/operator.previous.log"), Some("before"));
        assert_eq!(of("operator/operator-1/metrics.txt"), Some("fic_up 1\n"));
        assert_eq!(of("leases.yaml"), None);
        assert!(of("missing.txt").is_some_and(|text| text.contains("no leases")));
    }
}
