//! Procedural solids: parametric families of everyday objects, made of closed parts.

mod airplane;
mod assembly;
mod bed;
mod car;
mod chair;
mod class;
mod cuboid;
mod lamp;
mod lathe;
mod legs;
mod part;
mod shelf;
mod sofa;
mod table;
#[cfg(test)]
mod tests;
mod tube;
mod vector;
mod wing;

pub use class::{SolidClass, solid};
