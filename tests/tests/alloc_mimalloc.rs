//! The agent's allocator over mimalloc. A binary of its own, since a process has one global allocator.

#[path = "alloc/mod.rs"]
mod counted;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc<mimalloc::MiMalloc> =
    weighbridge_agent::Alloc::new(mimalloc::MiMalloc);

#[test]
fn allocations_are_counted_to_the_byte() {
    counted::allocations_are_counted_to_the_byte();
}
