//! A real Prometheus that scrapes the operators of a test and evaluates the alerts of `deploy/monitoring`, 100 times as fast.

use std::fs;
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cluster::DEPLOY_FOLDER;
use crate::support::daemon::Daemon;
use crate::support::{TestEnvironment, make};

/// How much faster than in production time passes for the alerts.
const FACTOR: u64 = 100;

/// The job of every target, as in production.
const JOB: &str = "fic-support-operator";

pub(crate) struct Prometheus {
    /// Runs as long as this value lives.
    _process: Daemon,
    folder: TempDir,
    address: String,
    targets: Mutex<Vec<(String, String)>>,
    client: reqwest::Client,
}

impl Prometheus {
    pub(crate) async fn start(env: &TestEnvironment) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("targets.json"), "[]").unwrap();
        fs::write(path("alerts.json"), faster_alerts().to_string()).unwrap();
        let configuration = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms" },
            "rule_files": ["alerts.json"],
            "scrape_configs": [{ "job_name": JOB, "file_sd_configs": [{ "files": ["targets.json"], "refresh_interval": "1s" }] }],
        });
        fs::write(path("prometheus.json"), configuration.to_string()).unwrap();
        let mut command = Command::new(make::tool("prometheus"));
        command
            .arg(format!("--config.file={}", path("prometheus.json").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg("--web.listen-address=127.0.0.1:0");
        let process = Daemon::start(&mut command, path("log"));
        let listening = || {
            let log = process.log();
            // Until then it answers with 503.
            log.find("Server is ready to receive web requests")?;
            let line = log.lines().find(|line| line.contains("Listening on"))?;
            Some(line.split_once("address=")?.1.split_whitespace().next()?.to_owned())
        };
        env.wait_until("Prometheus to be ready", || async { listening().is_some() }).await;
        let address = listening().unwrap();
        Self { _process: process, folder, address, targets: Mutex::default(), client: reqwest::Client::new() }
    }

    /// Scrapes the operator with this index from now on, in addition to the others.
    pub(crate) fn scrape(&self, env: &TestEnvironment, index: usize) {
        let target = (env.namespace.clone(), env.operators[index].http_address().to_string());
        self.change_targets(|targets| targets.push(target));
    }

    /// Does not scrape the operators of an environment any more.
    pub(crate) fn forget(&self, env: &TestEnvironment) {
        self.change_targets(|targets| targets.retain(|(namespace, _)| *namespace != env.namespace));
    }

    fn change_targets(&self, change: impl FnOnce(&mut Vec<(String, String)>)) {
        let mut targets = self.targets.lock().unwrap();
        change(&mut targets);
        let groups = targets
            .iter()
            .map(|(namespace, address)| json!({ "targets": [address], "labels": { "namespace": namespace } }));
        let file = self.folder.path().join("targets.json");
        let new = self.folder.path().join("targets.new");
        fs::write(&new, groups.collect::<Value>().to_string()).unwrap();
        fs::rename(new, file).unwrap();
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/{path}", self.address)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let answer = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let mut answer = serde_json::from_str::<Value>(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{path} {parameters:?}: {answer}");
        answer["data"].take()
    }

    /// Whether the operator with this index was scraped.
    pub(crate) async fn has_scraped(&self, env: &TestEnvironment, index: usize) -> bool {
        let query = format!("up{{instance=\"{}\"}} == 1", env.operators[index].http_address());
        let result = self.get("query", &[("query", &query)]).await["result"].take();
        !result.as_array().unwrap().is_empty()
    }

    /// Whether an alert fires for the operators of an environment.
    pub(crate) async fn fires(&self, alert: &str, namespace: &str) -> bool {
        self.firing().await.iter().any(|labels| labels["alertname"] == alert && labels["namespace"] == namespace)
    }

    /// Whether an alert fires that is about no operator in particular.
    pub(crate) async fn fires_for_all(&self, alert: &str) -> bool {
        self.firing().await.iter().any(|labels| labels["alertname"] == alert && labels["namespace"].is_null())
    }

    async fn firing(&self) -> Vec<Value> {
        let alerts = self.get("alerts", &[]).await["alerts"].take();
        let firing = alerts.as_array().unwrap().iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"].clone()).collect()
    }

    /// The series that a query returns for the last seconds.
    pub(crate) async fn series(&self, query: &str, seconds: i64) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let (start, end) = ((now - seconds).to_string(), now.to_string());
        let range = [("query", query), ("start", &start), ("end", &end), ("step", "1")];
        self.get("query_range", &range).await["result"].take()
    }
}

/// The rules with each time divided: how long an alert waits, the ranges in its expression, and ages in seconds.
fn faster_alerts() -> Value {
    let manifest = fs::read_to_string(format!("{DEPLOY_FOLDER}/monitoring/alerts.yaml")).unwrap();
    let mut groups = serde_saphyr::from_str::<Value>(&manifest).unwrap()["spec"].take();
    let groups_list = groups["groups"].as_array_mut().unwrap();
    for rule in groups_list.iter_mut().flat_map(|group| group["rules"].as_array_mut().unwrap()) {
        rule["for"] = faster(rule["for"].as_str().unwrap()).into();
        let expression = rule["expr"].as_str().unwrap();
        rule["expr"] = faster_ages(&faster_ranges(expression)).into();
    }
    groups
}

fn faster(duration: &str) -> String {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let seconds = number.parse::<u64>().unwrap() * if unit == "h" { 3600 } else { 60 };
    format!("{}ms", seconds * 1000 / FACTOR)
}

fn faster_ranges(expression: &str) -> String {
    let mut parts = expression.split('[');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |before, part| {
        let (range, after) = part.split_once(']').unwrap();
        format!("{before}[{}]{after}", faster(range))
    })
}

/// An age is compared with a number of seconds that is larger than any other number in the alerts.
fn faster_ages(expression: &str) -> String {
    let words = expression.split_inclusive(char::is_whitespace).map(|word| match word.trim().parse::<u64>() {
        Ok(seconds) if seconds >= 600 => format!("{} ", seconds / FACTOR),
        _ => word.to_owned(),
    });
    words.collect()
}
