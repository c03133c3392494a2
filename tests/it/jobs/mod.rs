//! Jobs on virtual time: what an event becomes, how its jobs are attempted, and what follows.

mod declared;
mod follow_ups;
mod history;
mod scripts;
mod site;
