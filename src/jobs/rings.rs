//! Follow-ups that lead back to where they began: each job of such a ring makes the next one, without end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::destination::{Destination, FollowUps};
use super::plan::ANY;

/// A ring of destinations.
pub(super) struct Ring<'a> {
    /// The first of them in the list, and its field that leads to the next.
    pub(super) at: usize,
    pub(super) field: &'static str,
    /// All of them, in order, and the first one again.
    names: Vec<&'a str>,
}

impl fmt::Display for Ring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.join("`, `");
        write!(
            f,
            "the follow-ups lead from `{names}`: each job would make another one, without end; take one of these names out"
        )
    }
}

/// The rings, at most one for each destination that begins one.
pub(super) fn rings(destinations: &[Destination]) -> Vec<Ring<'_>> {
    let known: BTreeMap<&str, usize> = destinations
        .iter()
        .enumerate()
        .map(|(at, destination)| (destination.name.as_str(), at))
        .collect();
    let actions = destinations.iter().flat_map(|one| &one.actions);
    let mut events: BTreeSet<&str> = actions.map(|action| action.event.as_str()).collect();
    events.insert(ANY);
    let begun_at = |start: usize| {
        let mut events = events.iter();
        events.find_map(|event| ring(destinations, &known, start, event))
    };
    (0..destinations.len()).filter_map(begun_at).collect()
}

/// The ring of jobs of one event that begins at `start`, with destinations behind it in the list only: the others begin rings of their own.
fn ring<'a>(
    destinations: &'a [Destination],
    known: &BTreeMap<&str, usize>,
    start: usize,
    event: &str,
) -> Option<Ring<'a>> {
    let name = |at: usize| destinations.get(at).map(|one| one.name.as_str());
    // From where each destination was reached first, and by which field.
    let mut reached = BTreeMap::new();
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        let follow_ups = destinations.get(at).and_then(|one| of_event(one, event));
        for (field, next) in follow_ups.into_iter().flat_map(FollowUps::names) {
            let next = known.get(next.as_str()).copied();
            let Some(next) = next.filter(|next| *next >= start && !reached.contains_key(next))
            else {
                continue;
            };
            reached.insert(next, (at, field));
            if next != start {
                open.push(next);
                continue;
            }
            let mut names = vec![name(start)?];
            let (mut before, mut first) = (at, field);
            while before != start {
                names.push(name(before)?);
                (before, first) = *reached.get(&before)?;
            }
            names.push(name(start)?);
            names.reverse();
            return Some(Ring {
                at: start,
                field: first,
                names,
            });
        }
    }
    None
}

/// What follows a job of this event that itself followed another: its action is that for the event, or that for any.
fn of_event<'a>(destination: &'a Destination, event: &str) -> Option<&'a FollowUps> {
    if destination.actions.is_empty() {
        return Some(&destination.follow_ups);
    }
    let of = |name: &str| {
        destination
            .actions
            .iter()
            .find(|action| action.event == name)
    };
    let action = of(event).or_else(|| of(ANY))?;
    Some(
        action
            .follow_ups
            .as_ref()
            .unwrap_or(&destination.follow_ups),
    )
}
