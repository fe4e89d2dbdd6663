//! A divided load as an overlay of kubernetes/base.

use crate::shard_plan::answer::ShardPlan;

/// The text of a kustomization.yaml. Values of flags are written as JSON, which is YAML as well.
#[must_use]
pub fn render(plan: &ShardPlan) -> String {
    let ShardPlan { clients, pods, max_viewers, ramp_rate, cpu_millis, memory_mib, open_files, .. } = plan;
    let stream = plan.stream_url.as_ref().map_or_else(String::new, |url| variable(0, "STREAM_URL", url));
    let clients_variable = variable(1, "CLIENTS", &clients.to_string());
    let ramp = variable(2, "RAMP_RATE", &ramp_rate.to_string());
    let flags = variable(3, "EXTRA_ARGS", &plan.flags);
    let base = serde_json::Value::from(plan.base.as_str());
    let collector = plan.collector_memory_mib;
    let token = &plan.collector_token;
    format!(
        r#"# {clients} viewers in {pods} pods of at most {max_viewers}.
# Kubernetes has no field for open files: the container runtime has to allow a pod {open_files} of them
# (LimitNOFILE= of containerd), or its preflight refuses to start.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - {base}
# The token with which shards report. Keep this file secret: anyone who has the token can send a report.
secretGenerator:
  - name: hls-swarm-collector
    literals: ["token={token}"]
generatorOptions:
  disableNameSuffixHash: true
patches:
  - target: {{ kind: Job, name: hls-swarm$ }}
    patch: |-
      - {{ op: replace, path: /spec/completions, value: {pods} }}
      - {{ op: replace, path: /spec/parallelism, value: {pods} }}
      - op: replace
        path: /spec/template/spec/containers/0/args/0
        value: "--shard=$(JOB_COMPLETION_INDEX)/{pods}"
{stream}{clients_variable}{ramp}{flags}      - op: replace
        path: /spec/template/spec/containers/0/resources
        value:
          requests: {{ cpu: {cpu_millis}m, memory: {memory_mib}Mi }}
          limits: {{ memory: {memory_mib}Mi }}
  - target: {{ kind: Job, name: hls-swarm-collector }}
    patch: |-
      - {{ op: replace, path: /spec/template/spec/containers/0/args/1, value: "--shards={pods}" }}
      - op: replace
        path: /spec/template/spec/containers/0/resources/limits/memory
        value: {collector}Mi
"#
    )
}

/// The warning about a load that needs confirmation.
#[must_use]
pub fn consent(plan: &ShardPlan) -> String {
    format!(
        "the pods of a load of {} viewers do not load a public address without confirmation; if you may load the \
         stream, add --extra-args '--allow-host HOST' or '--yes'",
        plan.clients
    )
}

/// A patch that sets the variable at index `place` of the base; kustomize refuses the overlay if another variable
/// is there.
fn variable(place: usize, name: &str, value: &str) -> String {
    let value = serde_json::Value::from(value);
    format!(
        r"      - {{ op: test, path: /spec/template/spec/containers/0/env/{place}/name, value: {name} }}
      - op: replace
        path: /spec/template/spec/containers/0/env/{place}/value
        value: {value}
"
    )
}
