//! Sources and sinks with their sockets and files open, before any of them runs.

use std::collections::HashSet;
use std::sync::Arc;

use super::binding::bound_twice;
use super::condition::Condition;
use super::error::StartError;
use super::gone::BoundSource;
use super::http_listeners::HttpListeners;
use super::listener::Listener;
use super::sink::Sink;
use super::source::Source;
use crate::sdk::TypeName;

/// A source or a sink with open sockets and files.
pub(super) struct Opened<T> {
    pub(super) name: TypeName,
    pub(super) part: T,
    pub(super) listener: Option<Listener>,
}

/// Opens the sources, and gives each a number after those of the cores.
pub(super) async fn open_sources(
    sources: Vec<(TypeName, Box<dyn Source>)>,
    cores: u8,
    listeners: &HttpListeners,
) -> Result<Vec<(Opened<Box<dyn Source>>, u8)>, StartError> {
    let (mut open, mut names) = (Vec::with_capacity(sources.len()), HashSet::new());
    for ((name, mut part), place) in sources.into_iter().zip(0_u16..) {
        if !names.insert(name.clone()) {
            return Err(bound_twice("ingress", &name));
        }
        let index = u8::try_from(u16::from(cores) + place).map_err(|_| StartError::Declared {
            what: format!("ingress {name}: partitions and ingresses together are 256 at most"),
        })?;
        let listener = part.open(listeners).await?;
        let opened = Opened {
            name,
            part,
            listener,
        };
        open.push((opened, index));
    }
    Ok(open)
}

/// The names of the sources, for the scan at the start.
pub(super) fn bound(sources: &[(Opened<Box<dyn Source>>, u8)]) -> Vec<BoundSource> {
    let bound = sources.iter().map(|(opened, _)| BoundSource {
        name: opened.name.clone(),
        has_positions: !opened.part.ends_by_itself(),
    });
    bound.collect()
}

/// A condition for each source, by its name.
pub(super) fn conditions(
    sources: &[(Opened<Box<dyn Source>>, u8)],
) -> Arc<[(TypeName, Arc<Condition>)]> {
    let names = sources.iter().map(|(opened, _)| opened.name.clone());
    names.map(|name| (name, Arc::default())).collect()
}

pub(super) async fn open_sinks(
    sinks: Vec<(TypeName, Box<dyn Sink>)>,
    listeners: &HttpListeners,
) -> Result<Vec<Opened<Box<dyn Sink>>>, StartError> {
    let mut open = Vec::with_capacity(sinks.len());
    for (name, mut part) in sinks {
        let listener = part.open(listeners).await?;
        open.push(Opened {
            name,
            part,
            listener,
        });
    }
    Ok(open)
}
