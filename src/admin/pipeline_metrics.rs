//! The figures of pipelines for Prometheus: `statefun_pipeline_…`.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::pipeline::{Figures, PipelineFigures, Summary};

/// Shows them.
#[derive(Debug)]
pub(super) struct PipelineMetrics(pub(super) Figures);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PipelineLabels {
    pipeline: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InvalidLabels {
    pipeline: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    pipeline: String,
    stage: String,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExportLabels {
    pipeline: String,
    stage: String,
    destination: String,
}

/// No example of a value is shown.
type Nothing = Exemplar<NoLabelSet, f64>;
/// Values by their labels.
type Rows<L, V> = Vec<(L, V)>;

impl Collector for PipelineMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.0.all();
        let of = |tell: fn(&PipelineFigures) -> u64| {
            let rows = all.iter().map(|(pipeline, figures)| {
                let pipeline = pipeline.clone();
                (PipelineLabels { pipeline }, tell(figures))
            });
            rows.collect::<Rows<_, _>>()
        };
        counters(
            &mut encoder,
            "pipeline_messages",
            "Messages that came to a pipeline from outside",
            &of(PipelineFigures::messages),
        )?;
        let invalid = of(PipelineFigures::invalid).into_iter();
        let invalid = invalid.map(|(PipelineLabels { pipeline }, count)| {
            let reason = "decode";
            (InvalidLabels { pipeline, reason }, count)
        });
        counters(
            &mut encoder,
            "pipeline_invalid_messages",
            "Messages that could not be decoded",
            &invalid.collect::<Rows<_, _>>(),
        )?;
        counters(
            &mut encoder,
            "pipeline_processed",
            "Records that went through the first stages of a pipeline",
            &of(PipelineFigures::processed),
        )?;
        let seconds = all.iter().map(|(pipeline, figures)| {
            let pipeline = pipeline.clone();
            (PipelineLabels { pipeline }, figures.seconds())
        });
        histograms(
            &mut encoder,
            "pipeline_seconds",
            "How long the stages took that only compute, up to the first that does not",
            &seconds.collect::<Rows<_, _>>(),
        )?;
        let errors = all.iter().flat_map(|(pipeline, figures)| {
            let errors = figures.errors().into_iter();
            errors.map(|((stage, class), count)| {
                let pipeline = pipeline.clone();
                let labels = ErrorLabels {
                    pipeline,
                    stage,
                    class,
                };
                (labels, count)
            })
        });
        counters(
            &mut encoder,
            "pipeline_errors",
            "Failures of stages, of exports each failed attempt",
            &errors.collect::<Rows<_, _>>(),
        )?;
        self.exports(&mut encoder)
    }
}

impl PipelineMetrics {
    fn exports(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (mut bytes, mut seconds, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for (pipeline, figures) in self.0.all() {
            for ((stage, destination), export) in figures.exports() {
                let labels = ExportLabels {
                    pipeline: pipeline.clone(),
                    stage,
                    destination: destination.to_string(),
                };
                bytes.push((labels.clone(), export.bytes.summary()));
                seconds.push((labels.clone(), export.seconds.summary()));
                errors.push((labels, export.errors.load(Ordering::Relaxed)));
            }
        }
        histograms(
            encoder,
            "pipeline_export_bytes",
            "Sizes of what was exported",
            &bytes,
        )?;
        histograms(
            encoder,
            "pipeline_export_seconds",
            "How long successful attempts took",
            &seconds,
        )?;
        counters(
            encoder,
            "pipeline_export_errors",
            "Failed attempts to export",
            &errors,
        )
    }
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &[(L, u64)],
) -> Result<(), fmt::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in rows {
        let mut row = family.encode_family(labels)?;
        row.encode_counter(count, None::<&Nothing>)?;
    }
    Ok(())
}

fn histograms<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &[(L, Summary)],
) -> Result<(), fmt::Error> {
    if rows.iter().all(|(_, summary)| summary.count == 0) {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, summary) in rows.iter().filter(|(_, summary)| summary.count > 0) {
        let mut row = family.encode_family(labels)?;
        row.encode_histogram::<NoLabelSet>(summary.sum, summary.count, &summary.buckets, None)?;
    }
    Ok(())
}
