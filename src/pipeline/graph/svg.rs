//! The graph as an SVG image: a row per pipeline, its stages from left to right, and the destinations in a column at the right.

use std::fmt::Write as _;

use super::{Edge, Graph, Shape};

const MARGIN: usize = 20;
/// The height of a box, and of the gap between two.
const BOX: usize = 36;
const GAP: usize = 28;
/// The height of a pipeline: its title, a box, and the space around them.
const ROW: usize = 96;
const CHAR: usize = 8;

/// A rectangle: left, top, width. All have the same height.
#[derive(Debug, Clone, Copy)]
struct Rectangle {
    x: usize,
    y: usize,
    width: usize,
}

impl Rectangle {
    const fn right(self) -> usize {
        self.x + self.width
    }

    const fn middle(self) -> usize {
        self.y + BOX / 2
    }
}

pub(super) fn of(graph: &Graph) -> String {
    let mut body = String::new();
    let mut push = |element: std::fmt::Arguments<'_>| {
        writeln!(body, "{element}").unwrap_or_default(); // writing to a String cannot fail
    };
    let mut stages: Vec<Vec<Rectangle>> = Vec::new();
    let mut widest = 0;
    for (row, pipeline) in graph.pipelines.iter().enumerate() {
        let (top, mut x) = (MARGIN + row * ROW, MARGIN + GAP / 2);
        let mut places = Vec::new();
        for (name, _) in &pipeline.stages {
            let (y, width) = (top + 26, width_of(name));
            places.push(Rectangle { x, y, width });
            x += width + GAP;
        }
        let least = MARGIN + GAP + width_of(&pipeline.title);
        widest = widest.max(x).max(least);
        stages.push(places);
    }
    for (row, (pipeline, places)) in graph.pipelines.iter().zip(&stages).enumerate() {
        let top = MARGIN + row * ROW;
        let (width, height) = (widest - MARGIN, ROW - 16);
        push(format_args!(
            r##"<rect x="{MARGIN}" y="{top}" width="{width}" height="{height}" rx="6" fill="#f6f8fa" stroke="#d0d7de"/>"##
        ));
        let title = escaped(&pipeline.title);
        let (x, y) = (MARGIN + 10, top + 18);
        push(format_args!(
            r##"<text x="{x}" y="{y}" font-weight="bold">{title}</text>"##
        ));
        if places.is_empty() {
            push(format_args!(
                r##"<text x="{x}" y="{}" fill="#57606a">no stages</text>"##,
                y + 30
            ));
        }
        for (pair, next) in places.iter().zip(places.iter().skip(1)) {
            arrow(
                &mut push,
                (pair.right(), pair.middle()),
                (next.x, next.middle()),
            );
        }
        for ((name, shape), place) in pipeline.stages.iter().zip(places) {
            let (fill, rounding) = match shape {
                Shape::Computes => ("#ffffff", 3),
                Shape::Collects => ("#fff8c5", 3),
                Shape::Exports => ("#ddf4ff", BOX / 2),
            };
            draw(&mut push, *place, name, fill, rounding);
        }
    }
    let column = widest + 3 * GAP;
    let targets: Vec<Rectangle> = graph
        .destinations
        .iter()
        .enumerate()
        .map(|(n, name)| Rectangle {
            x: column,
            y: MARGIN + 26 + n * ROW / 2,
            width: width_of(name),
        })
        .collect();
    for edge in &graph.edges {
        match edge {
            Edge::Export {
                pipeline,
                stage,
                destination,
            } => {
                let from = stages.get(*pipeline).and_then(|places| places.get(*stage));
                if let Some((from, to)) = from.zip(targets.get(*destination)) {
                    // Below the boxes behind it.
                    let (x, low) = (from.x + from.width / 2, from.y + BOX + 8);
                    push(format_args!(
                        r##"<path d="M {x} {} V {low} H {} L {} {}" fill="none" stroke="#57606a" marker-end="url(#tip)"/>"##,
                        from.y + BOX,
                        widest + GAP,
                        to.x,
                        to.middle()
                    ));
                }
            }
            Edge::Route { from, to, topics } => {
                let (start, end) = (MARGIN + from * ROW + ROW - 16, MARGIN + to * ROW);
                let x = MARGIN + 6;
                push(format_args!(
                    r##"<path d="M {x} {start} V {end}" fill="none" stroke="#8250df" stroke-dasharray="4 3" marker-end="url(#tip)"/>"##
                ));
                let y = end.saturating_sub(4);
                push(format_args!(
                    r##"<text x="{}" y="{y}" font-size="11" fill="#8250df">{}</text>"##,
                    x + 8,
                    escaped(topics)
                ));
            }
        }
    }
    for (place, name) in targets.iter().zip(&graph.destinations) {
        draw(&mut push, *place, name, "#dafbe1", 3);
    }
    let right = targets
        .iter()
        .map(|place| place.right())
        .max()
        .unwrap_or(widest);
    let lowest = targets.last().map_or(0, |place| place.y + BOX);
    let (width, rows) = (right + MARGIN, MARGIN + graph.pipelines.len() * ROW);
    let height = rows.max(lowest) + MARGIN;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" fill="#57606a"/></marker></defs>
<rect width="{width}" height="{height}" fill="#ffffff"/>
{body}</svg>
"##
    )
}

fn width_of(text: &str) -> usize {
    text.chars().count() * CHAR + 24
}

fn draw(
    push: &mut impl FnMut(std::fmt::Arguments<'_>),
    place: Rectangle,
    name: &str,
    fill: &str,
    rounding: usize,
) {
    let Rectangle { x, y, width } = place;
    push(format_args!(
        r##"<rect x="{x}" y="{y}" width="{width}" height="{BOX}" rx="{rounding}" fill="{fill}" stroke="#57606a"/>"##
    ));
    let (x, y) = (x + width / 2, place.middle() + 5);
    push(format_args!(
        r##"<text x="{x}" y="{y}" text-anchor="middle">{}</text>"##,
        escaped(name)
    ));
}

fn arrow(push: &mut impl FnMut(std::fmt::Arguments<'_>), from: (usize, usize), to: (usize, usize)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    push(format_args!(
        r##"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#57606a" marker-end="url(#tip)"/>"##
    ));
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::config::PipelineConfig;

    #[test]
    fn every_stage_and_destination_is_in_the_image_once() {
        let spec = json!({"name": "a<b", "stages": [
            {"set": {"x": 1}}, {"batch": {"count": 2}}, {"name": "out", "http-export": {"url": "https://h/x"}},
            {"name": "again", "http-export": {"url": "https://h/y"}},
        ]});
        let config = PipelineConfig::from_json(&spec).unwrap();
        let image = PipelineConfig::graph_svg(&[&config]);
        for text in [
            "pipelines/a&lt;b",
            "set",
            "batch",
            "out",
            "again",
            "https://h:443",
        ] {
            assert_eq!(
                image.matches(&format!(">{text}</text>")).count(),
                1,
                "{text}"
            );
        }
        assert_eq!(
            image.matches("<path d=\"M ").count(),
            3,
            "two exports and the tip of arrows"
        );
        let open = image.matches("<text").count();
        assert_eq!(open, image.matches("</text>").count());
    }
}
