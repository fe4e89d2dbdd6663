//! Start, stop, and restart of runs and viewers of the real `hls-swarm`, and that nothing is left behind,
//! whatever ends them. (`Running::end` checks this after every run.)

mod killed;
mod restarts;
mod signals;
