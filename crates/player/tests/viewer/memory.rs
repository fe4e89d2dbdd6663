//! How much memory a viewer takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::mem::size_of_val;

use hls_swarm_player::Preset;

use super::world::{World, ladder, live};

/// The system's allocator, which counts the bytes of each thread.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let count = |allocated: &Cell<usize>| allocated.set(allocated.get() + layout.size());
        _ = ALLOCATED.try_with(count);
        // SAFETY: the caller keeps the rules of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the rules of `GlobalAlloc::dealloc`, and the memory is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn a_viewer_takes_1_7_kilobytes() {
    for preset in Preset::ALL {
        let run = World::new(ladder(&[500_000, 1_100_000, 2_400_000], live(10, 13))).play(preset, 60.0);
        let before = ALLOCATED.with(Cell::get);
        // Playlists and the configuration are shared, so a copy allocates what is the viewer's own.
        let copy = run.player.clone();
        let bytes = ALLOCATED.with(Cell::get) - before + size_of_val(&copy);
        assert!(bytes < 1750, "{preset}: {bytes} bytes, {} of them on the heap", bytes - size_of_val(&copy));
    }
}
