//! Pipelines as a Mermaid flowchart: stages, the pipelines that get records by their topic, and destinations.

use std::fmt::Write as _;

use super::config::PipelineConfig;
use super::stages::StageKind;

impl PipelineConfig {
    /// A Mermaid flowchart of pipelines: those in `configs`, with the connections between them and to their destinations.
    ///
    /// ```
    /// use stateful_functions::pipeline::PipelineConfig;
    ///
    /// let orders = PipelineConfig::from_json(&serde_json::json!({
    ///     "name": "orders",
    ///     "stages": [{"set": {"shop": "north"}}, {"http-export": {"url": "https://crm.example/orders"}}],
    /// })).unwrap();
    /// let graph = PipelineConfig::graph(&[&orders]);
    /// assert!(graph.contains(r#"p0s0["set"] --> p0s1(["http-export"])"#));
    /// assert!(graph.contains(r#"p0s1 --> d0[("https://crm.example:443")]"#));
    /// ```
    pub fn graph(configs: &[&Self]) -> String {
        let mut graph = String::from("flowchart LR\n");
        let mut destinations: Vec<String> = Vec::new();
        let mut edges = String::new();
        for (at, config) in configs.iter().enumerate() {
            let title = escaped(&format!("{}/{}", config.namespace(), config.name()));
            push(&mut graph, format_args!("  subgraph p{at}[\"{title}\"]"));
            let nodes: Vec<String> = config
                .stages()
                .iter()
                .enumerate()
                .map(|(n, stage)| {
                    let name = escaped(&stage.name);
                    match &stage.kind {
                        StageKind::Pure(_) | StageKind::Own(_) => format!("p{at}s{n}[\"{name}\"]"),
                        StageKind::Batch(_) => format!("p{at}s{n}[[\"{name}\"]]"),
                        StageKind::Export(_) | StageKind::Egress(_) => {
                            format!("p{at}s{n}([\"{name}\"])")
                        }
                    }
                })
                .collect();
            match nodes.as_slice() {
                [] => push(&mut graph, format_args!("    p{at}s0[\"no stages\"]")),
                nodes => push(&mut graph, format_args!("    {}", nodes.join(" --> "))),
            }
            graph.push_str("  end\n");
            for (n, stage) in config.stages().iter().enumerate() {
                let destination = match &stage.kind {
                    StageKind::Export(exporter) => exporter.destination(),
                    StageKind::Egress(export) => Some(format!("egress {}", export.id).into()),
                    StageKind::Pure(_) | StageKind::Own(_) | StageKind::Batch(_) => continue,
                };
                let name = destination.as_deref().unwrap_or("depends on the record");
                let number = destinations.iter().position(|known| known == name);
                let number = number.unwrap_or_else(|| {
                    destinations.push(name.to_owned());
                    destinations.len() - 1
                });
                let name = escaped(name);
                push(
                    &mut edges,
                    format_args!("  p{at}s{n} --> d{number}[(\"{name}\")]"),
                );
            }
            for route in config.routes() {
                let is_it = |other: &&Self| {
                    other.name() == route.to && other.namespace() == config.namespace()
                };
                if let Some(to) = configs.iter().copied().position(|other| is_it(&other)) {
                    let topics: Vec<String> =
                        route.filters.iter().map(ToString::to_string).collect();
                    let topics = escaped(&topics.join(", "));
                    push(
                        &mut edges,
                        format_args!("  p{at} -- \"{topics}\" --> p{to}"),
                    );
                }
            }
        }
        graph + &edges
    }
}

fn push(graph: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(graph, "{line}").unwrap_or_default(); // writing to a String cannot fail
}

/// Text between quotes; Mermaid writes special characters as entities.
fn escaped(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[cfg(feature = "edgex")]
    #[test]
    fn topics_lead_to_other_pipelines_and_equal_destinations_are_one() {
        let export = json!({"Parameters": {"Method": "post", "MimeType": "", "Url": "http://h/a"}});
        let spec = json!({"name": "main", "edgex": {
            "ExecutionOrder": "Batch, HTTPExport",
            "PerTopicPipelines": {"a": {"Id": "floats", "Topics": "events/+/Float/#", "ExecutionOrder": "HTTPExport"}},
            "Functions": {"Batch": {"Parameters": {"Mode": "bycount", "BatchThreshold": "2"}}, "HTTPExport": export},
        }});
        let configs = PipelineConfig::all_from_json(&spec).unwrap();
        let configs: Vec<&PipelineConfig> = configs.iter().collect();
        let expected = r#"flowchart LR
  subgraph p0["pipelines/main"]
    p0s0["decode"] --> p0s1[["Batch"]] --> p0s2(["HTTPExport"])
  end
  subgraph p1["pipelines/floats"]
    p1s0["decode"] --> p1s1(["HTTPExport"])
  end
  p0s2 --> d0[("http://h:80")]
  p0 -- "events/+/Float/#35;" --> p1
  p1s1 --> d0[("http://h:80")]
"#;
        assert_eq!(PipelineConfig::graph(&configs), expected);
    }

    #[test]
    fn a_quote_does_not_end_the_text() {
        let spec = json!({"name": "a\"b", "stages": [{"set": {"x": 1}}]});
        let config = PipelineConfig::from_json(&spec).unwrap();
        assert!(PipelineConfig::graph(&[&config]).contains(r#"p0["pipelines/a#quot;b"]"#));
    }
}
