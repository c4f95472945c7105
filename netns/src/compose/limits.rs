//! `deploy`, and what a service may use: said there or, as in older files, in the service itself.

use super::docker_only::Scope;
use super::model::{Limits, Restart};
use super::node::Node;
use super::reader::Reader;

/// Most instances of one service.
pub(super) const MOST_REPLICAS: u32 = 1000;

/// Microseconds of a period in which `cpu_quota` is counted, where `cpu_period` does not say: the kernel's own (cpu.cfs_period_us).
const PERIOD: u32 = 100_000;

/// `deploy`, read.
pub(super) struct Deploy {
    pub(super) replicas: u32,
    pub(super) limits: Limits,
    pub(super) restart: Option<Restart>,
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            replicas: 1,
            limits: Limits::default(),
            restart: None,
        }
    }
}

impl Reader<'_> {
    /// `deploy`: the number of instances, what each may use, and when it is started again.
    pub(super) fn deploy(&mut self, node: &Node) -> Deploy {
        let known = ["replicas", "resources", "restart_policy"];
        let fields = self.fields(node, "deploy", Some(Scope::Deploy), &known);
        let mut deploy = Deploy::default();
        if let Some((_, node)) = fields.get("replicas") {
            deploy.replicas = self
                .number(node, "replicas", 0, MOST_REPLICAS)
                .unwrap_or(deploy.replicas);
        }
        if let Some((_, node)) = fields.get("resources") {
            let fields = self.fields(node, "resources", Some(Scope::Resources), &["limits"]);
            if let Some((_, node)) = fields.get("limits") {
                let fields = self.fields(node, "limits", None, &["cpus", "memory", "pids"]);
                deploy.limits.cpus = fields.get("cpus").and_then(|(_, node)| self.cpus(node));
                deploy.limits.memory = fields
                    .get("memory")
                    .and_then(|(_, node)| self.bytes(node, "memory"));
                deploy.limits.pids = fields
                    .get("pids")
                    .and_then(|(_, node)| self.number(node, "pids", 1, u32::MAX));
            }
        }
        deploy.restart = fields
            .get("restart_policy")
            .and_then(|(_, node)| self.restart_policy(node));
        deploy
    }

    /// What an instance may use: what `deploy` says, replaced by what the service says itself under the key that `get` looks up.
    pub(super) fn limits<'n>(
        &mut self,
        mut limits: Limits,
        get: &impl Fn(&str) -> Option<&'n Node>,
    ) -> Limits {
        if let Some(node) = get("mem_limit") {
            limits.memory = self.bytes(node, "mem_limit");
        }
        if let Some(node) = get("pids_limit") {
            limits.pids = self.number(node, "pids_limit", 1, u32::MAX);
        }
        if let Some(node) = get("cpus") {
            limits.cpus = self.cpus(node);
        }
        let period =
            get("cpu_period").and_then(|node| self.number(node, "cpu_period", 1_000, 1_000_000));
        if let Some(node) = get("cpu_quota") {
            let quota = self.cpu_quota(node);
            if quota.is_some() && limits.cpus.is_some() {
                self.error(
                    node.at,
                    "processors are limited twice, by `cpu_quota` and by `cpus`",
                    "keep one of them",
                );
            }
            let period = f64::from(period.unwrap_or(PERIOD));
            limits.cpus = limits.cpus.or(quota.map(|quota| f64::from(quota) / period));
        }
        limits
    }

    /// Microseconds of processor time in a period; none where it sets no limit.
    fn cpu_quota(&mut self, node: &Node) -> Option<u32> {
        let form = "a number of microseconds from 1000, or -1 for no limit";
        self.parsed(node, "cpu_quota", form, |text| match text {
            "0" | "-1" => Some(None),
            text => text.parse().ok().filter(|quota| *quota >= 1_000).map(Some),
        })
        .flatten()
    }

    fn cpus(&mut self, node: &Node) -> Option<f64> {
        self.parsed(node, "cpus", "a number above zero such as 0.5", |text| {
            text.parse()
                .ok()
                .filter(|cpus: &f64| cpus.is_finite() && *cpus > 0.0)
        })
    }
}
