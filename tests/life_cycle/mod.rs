//! How runs and viewers of the real `hls-swarm` begin, end and come back, and that nothing is left of
//! them, whatever ends them. (`Running::end` looks for what is left after every run.)

mod killed;
mod restarts;
mod signals;
