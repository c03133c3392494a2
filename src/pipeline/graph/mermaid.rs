//! The graph as a Mermaid flowchart.

use std::fmt::Write as _;

use super::{Edge, Graph, Shape};

pub(super) fn of(graph: &Graph) -> String {
    let mut text = String::from("flowchart LR\n");
    let mut push = |line: std::fmt::Arguments<'_>| {
        writeln!(text, "{line}").unwrap_or_default(); // writing to a String cannot fail
    };
    for (at, pipeline) in graph.pipelines.iter().enumerate() {
        push(format_args!(
            "  subgraph p{at}[\"{}\"]",
            escaped(&pipeline.title)
        ));
        let stages = pipeline.stages.iter().enumerate();
        let nodes: Vec<String> = stages
            .map(|(n, (name, shape))| {
                let name = escaped(name);
                match shape {
                    Shape::Computes => format!("p{at}s{n}[\"{name}\"]"),
                    Shape::Collects => format!("p{at}s{n}[[\"{name}\"]]"),
                    Shape::Exports => format!("p{at}s{n}([\"{name}\"])"),
                }
            })
            .collect();
        match nodes.as_slice() {
            [] => push(format_args!("    p{at}s0[\"no stages\"]")),
            nodes => push(format_args!("    {}", nodes.join(" --> "))),
        }
        push(format_args!("  end"));
    }
    for edge in &graph.edges {
        match edge {
            Edge::Export {
                pipeline,
                stage,
                destination,
            } => {
                let name = graph.destinations.get(*destination);
                let name = escaped(name.map_or("", String::as_str));
                push(format_args!(
                    "  p{pipeline}s{stage} --> d{destination}[(\"{name}\")]"
                ));
            }
            Edge::Route { from, to, topics } => {
                let topics = escaped(topics);
                push(format_args!("  p{from} -- \"{topics}\" --> p{to}"));
            }
        }
    }
    text
}

/// Text between quotes; Mermaid writes special characters as entities.
fn escaped(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::config::PipelineConfig;

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
