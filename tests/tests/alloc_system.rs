//! The agent's allocator over the system's allocator. A binary of its own, since a process has one global allocator.

#[path = "alloc/mod.rs"]
mod counted;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

#[test]
fn allocations_are_counted_to_the_byte() {
    counted::allocations_are_counted_to_the_byte();
}
