//! Pipelines as a graph: stages, the pipelines that get records by their topic, and destinations. `mermaid` and `svg` write it.

mod mermaid;
mod svg;

use super::config::PipelineConfig;
use super::stages::StageKind;

/// What is drawn.
#[derive(Debug, Default)]
struct Graph {
    pipelines: Vec<Drawn>,
    /// The names of destinations, each once.
    destinations: Vec<String>,
    edges: Vec<Edge>,
}

/// A pipeline.
#[derive(Debug)]
struct Drawn {
    title: String,
    stages: Vec<(String, Shape)>,
}

/// What a stage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Computes,
    Collects,
    Exports,
}

/// A connection that leaves a pipeline.
#[derive(Debug)]
enum Edge {
    /// From a stage to a destination.
    Export {
        pipeline: usize,
        stage: usize,
        destination: usize,
    },
    /// From a pipeline to another one, for some topics.
    Route {
        from: usize,
        to: usize,
        topics: String,
    },
}

impl Graph {
    fn of(configs: &[&PipelineConfig]) -> Self {
        let mut graph = Self::default();
        for (pipeline, config) in configs.iter().enumerate() {
            let shape = |kind: &StageKind| match kind {
                StageKind::Pure(_) | StageKind::Own(_) => Shape::Computes,
                StageKind::Batch(_) => Shape::Collects,
                StageKind::Export(_) | StageKind::Egress(_) => Shape::Exports,
            };
            let stages = config.stages().iter();
            graph.pipelines.push(Drawn {
                title: format!("{}/{}", config.namespace(), config.name()),
                stages: stages
                    .map(|stage| (stage.name.clone(), shape(&stage.kind)))
                    .collect(),
            });
            for (stage, declared) in config.stages().iter().enumerate() {
                let destination = match &declared.kind {
                    StageKind::Export(exporter) => exporter.destination(),
                    StageKind::Egress(export) => Some(format!("egress {}", export.id).into()),
                    StageKind::Pure(_) | StageKind::Own(_) | StageKind::Batch(_) => continue,
                };
                let name = destination.as_deref().unwrap_or("depends on the record");
                let destination = graph.destination(name);
                graph.edges.push(Edge::Export {
                    pipeline,
                    stage,
                    destination,
                });
            }
            for route in config.routes() {
                let is_it = |other: &&PipelineConfig| {
                    other.name() == route.to && other.namespace() == config.namespace()
                };
                if let Some(to) = configs.iter().copied().position(|other| is_it(&other)) {
                    let topics: Vec<String> =
                        route.filters.iter().map(ToString::to_string).collect();
                    graph.edges.push(Edge::Route {
                        from: pipeline,
                        to,
                        topics: topics.join(", "),
                    });
                }
            }
        }
        graph
    }

    /// The number of a destination.
    fn destination(&mut self, name: &str) -> usize {
        let known = self.destinations.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.destinations.push(name.to_owned());
            self.destinations.len() - 1
        })
    }
}

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
        mermaid::of(&Graph::of(configs))
    }

    /// The same graph as an SVG image.
    ///
    /// ```
    /// use stateful_functions::pipeline::PipelineConfig;
    ///
    /// let orders = PipelineConfig::from_json(&serde_json::json!({
    ///     "name": "orders", "stages": [{"http-export": {"url": "https://crm.example/orders"}}],
    /// })).unwrap();
    /// assert!(PipelineConfig::graph_svg(&[&orders]).starts_with("<svg "));
    /// ```
    pub fn graph_svg(configs: &[&Self]) -> String {
        svg::of(&Graph::of(configs))
    }
}
