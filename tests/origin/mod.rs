//! The origin against the real FFmpeg and the real nginx: what it serves, how it survives, what it
//! leaves behind. Everything runs on loopback, on free ports, with a small picture.

mod embedded;
mod exporters;
mod failing;
mod faults;
mod lifetime;
mod options;
mod seams;
mod serving;
mod synthetic;
mod upheaval;
mod validity;
