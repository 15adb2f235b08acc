//! Attention in blocks of queries: the matrix of scores is never held whole, neither forwards nor
//! backwards.
//!
//! 12,288 tokens with 4 heads have 2.25 GiB of scores a sample. Here only the rows of one block of
//! queries exist at a time. The way back keeps queries, keys and values, and computes the rows of a
//! block again (as in FlashAttention, Dao et al. 2022), which costs one more matrix product. It is an
//! operation of its own for burn's autodiff, composed of operations that every backend has.

use std::ops::Range;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Slice, Tensor, TensorData};

use crate::dropout::Dropout;

/// Added to the scores of tokens that come later, where attention is causal.
const LATER: f32 = -1e4;

/// How attention is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// Queries whose scores exist at a time, at least 1.
    pub(crate) block: usize,
    /// Whether a token sees only itself and earlier ones.
    pub(crate) causal: bool,
    /// What becomes of the weights, in training.
    pub(crate) dropout: Option<Dropout>,
}

/// `softmax(q k^T / sqrt(size)) v` for each head.
///
/// # Shapes
/// - query, key, value, result: `[batch, heads, tokens, size]`
pub(crate) fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, plan: Plan) -> Tensor<4> {
    let [query, key, value] = [query, key, value].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attend(query, key, value, plan))
}

/// Attention as an operation of a backend.
#[backend_extension(Flex, Cube, Autodiff)]
pub(crate) trait AttentionOps: Backend {
    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;
}

impl AttentionOps for Flex {
    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self> {
        forward::<Self>(&query, &key, &value, plan)
    }
}

impl AttentionOps for Cube {
    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self> {
        forward::<Self>(&query, &key, &value, plan)
    }
}

impl<B: Backend + AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self> {
        let nodes = [query.node(), key.node(), value.node()];
        let kind = Recomputed.prepare::<C>(nodes).compute_bound().stateful();
        let [query, key, value] = [query, key, value].map(|tensor| tensor.into_primitive());
        match kind {
            OpsKind::UnTracked(operation) => operation.finish(B::attend(query, key, value, plan)),
            OpsKind::Tracked(operation) => {
                let output = B::attend(query.clone(), key.clone(), value.clone(), plan);
                operation.finish((query, key, value, plan), output)
            }
        }
    }
}

/// The way back, which computes weights again.
#[derive(Debug)]
struct Recomputed;

impl<B: Backend> Backward<B, 3> for Recomputed {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Plan);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (query, key, value, plan) = ops.state;
        let found = backward::<B>(&query, &key, &value, &gradient, plan);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// A block of queries and the keys it sees.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
}

/// The blocks of `tokens` queries. Causal ones see no key after their last query: a weight there
/// would be 0 in any case.
fn blocks(tokens: usize, plan: Plan) -> impl Iterator<Item = Block> {
    let block = plan.block.max(1);
    (0..tokens).step_by(block).map(move |first| {
        let end = (first + block).min(tokens);
        Block { queries: first..end, keys: 0..if plan.causal { end } else { tokens } }
    })
}

fn forward<B: Backend>(
    query: &FloatTensor<B>,
    key: &FloatTensor<B>,
    value: &FloatTensor<B>,
    plan: Plan,
) -> FloatTensor<B> {
    let [_, _, tokens, _] = query.shape().dims();
    let parts = blocks(tokens, plan).map(|block| {
        let weights = weights::<B>(query, key, &block, plan);
        let weights = match factors::<B>(query, &block, plan) {
            Some(factors) => B::float_mul(weights, factors),
            None => weights,
        };
        B::float_matmul(weights, rows::<B>(value, &block.keys))
    });
    B::float_cat(parts.collect(), 2)
}

/// Gradients for queries, keys and values.
///
/// With `p` the weights of a block, `p'` those that dropout left and `g` the gradient of its output:
/// `dv += p'^T g`, `ds = p (dp - sum(dp p))` where `dp = dropout(g v^T)`, `dq = ds k / sqrt(size)`,
/// `dk += ds^T q / sqrt(size)`.
fn backward<B: Backend>(
    query: &FloatTensor<B>,
    key: &FloatTensor<B>,
    value: &FloatTensor<B>,
    gradient: &FloatTensor<B>,
    plan: Plan,
) -> [FloatTensor<B>; 3] {
    let [_, _, tokens, size] = query.shape().dims();
    let scale = (size as f64).powf(-0.5);
    let zeros = B::float_mul_scalar(key.clone(), 0.0.into());
    let (mut of_keys, mut of_values) = (zeros.clone(), zeros);
    let mut of_queries = Vec::new();
    for block in blocks(tokens, plan) {
        let weights = weights::<B>(query, key, &block, plan);
        let g = rows::<B>(gradient, &block.queries);
        let mut of_weights =
            B::float_matmul(g.clone(), B::float_transpose(rows::<B>(value, &block.keys)));
        let mut left = weights.clone();
        if let Some(factors) = factors::<B>(query, &block, plan) {
            of_weights = B::float_mul(of_weights, factors.clone());
            left = B::float_mul(left, factors);
        }
        add_rows::<B>(&mut of_values, &block.keys, B::float_matmul(B::float_transpose(left), g));
        let pull = B::float_sum_dim(B::float_mul(of_weights.clone(), weights.clone()), 3);
        let of_scores = B::float_mul(weights, B::float_sub(of_weights, pull));
        let of_scores = B::float_mul_scalar(of_scores, scale.into());
        let queries = rows::<B>(query, &block.queries);
        of_queries.push(B::float_matmul(of_scores.clone(), rows::<B>(key, &block.keys)));
        let keys = B::float_matmul(B::float_transpose(of_scores), queries);
        add_rows::<B>(&mut of_keys, &block.keys, keys);
    }
    [B::float_cat(of_queries, 2), of_keys, of_values]
}

/// Weights of a block, `[batch, heads, queries, keys]`: rows sum to 1.
fn weights<B: Backend>(
    query: &FloatTensor<B>,
    key: &FloatTensor<B>,
    block: &Block,
    plan: Plan,
) -> FloatTensor<B> {
    let [_, _, _, size] = query.shape().dims();
    let keys = B::float_transpose(rows::<B>(key, &block.keys));
    let scores = B::float_matmul(rows::<B>(query, &block.queries), keys);
    let mut scores = B::float_mul_scalar(scores, (size as f64).powf(-0.5).into());
    if plan.causal {
        scores = B::float_add(scores, B::float_from_data(later(block), &query.device()));
    }
    let largest = B::float_max_dim(scores.clone(), 3);
    let powers = B::float_exp(B::float_sub(scores, largest));
    let sums = B::float_sum_dim(powers.clone(), 3);
    B::float_div(powers, sums)
}

/// What is added to a block's scores where attention is causal, `[1, 1, queries, keys]`.
fn later(block: &Block) -> TensorData {
    let sizes = [1, 1, block.queries.len(), block.keys.len()];
    let of_query = |query: usize| block.keys.clone().map(move |key| (key > query, LATER));
    let values: Vec<f32> = block
        .queries
        .clone()
        .flat_map(of_query)
        .map(|(is_later, value)| if is_later { value } else { 0.0 })
        .collect();
    TensorData::new(values, sizes)
}

/// What dropout makes of a block's weights; the same whenever it is asked.
fn factors<B: Backend>(
    query: &FloatTensor<B>,
    block: &Block,
    plan: Plan,
) -> Option<FloatTensor<B>> {
    let dropout = plan.dropout.filter(|dropout| dropout.rate > 0.0)?;
    let [batch, heads, tokens, _] = query.shape().dims();
    let sizes = [batch, heads, block.queries.len(), block.keys.len()];
    let mut factors = Vec::with_capacity(sizes.iter().product());
    for head in 0..batch * heads {
        for query in block.queries.clone() {
            dropout.extend(&mut factors, (head * tokens + query) as u64, block.keys.len());
        }
    }
    Some(B::float_from_data(TensorData::new(factors, sizes), &query.device()))
}

/// Rows of tokens of a tensor `[batch, heads, tokens, size]`.
fn rows<B: Backend>(tensor: &FloatTensor<B>, range: &Range<usize>) -> FloatTensor<B> {
    let all = tensor.shape();
    if range.len() == all.dims::<4>()[2] {
        return tensor.clone();
    }
    B::float_slice(tensor.clone(), &slices(all.dims(), range))
}

/// Adds to some rows of tokens.
fn add_rows<B: Backend>(sum: &mut FloatTensor<B>, range: &Range<usize>, part: FloatTensor<B>) {
    let sizes = sum.shape().dims::<4>();
    let added = B::float_add(rows::<B>(sum, range), part);
    *sum = match range.len() == sizes[2] {
        true => added,
        false => B::float_slice_assign(sum.clone(), &slices(sizes, range), added),
    };
}

fn slices(sizes: [usize; 4], rows: &Range<usize>) -> [Slice; 4] {
    let [batch, heads, _, size] = sizes;
    [0..batch, 0..heads, rows.clone(), 0..size].map(Slice::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use burn::tensor::activation::softmax;

    /// The same, with the matrix of scores as one tensor.
    fn plain(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, plan: Plan) -> Tensor<4> {
        let [batch, heads, tokens, size] = query.dims();
        let device = query.device();
        let mut scores = query.matmul(key.transpose()) * (size as f64).powf(-0.5);
        let whole = Block { queries: 0..tokens, keys: 0..tokens };
        if plan.causal {
            scores = scores + Tensor::<4>::from_data(later(&whole), &device);
        }
        let mut weights = softmax(scores, 3);
        if let Some(dropout) = plan.dropout {
            let mut kept = Vec::new();
            for row in 0..batch * heads * tokens {
                // As many as a block's keys, so that the same numbers are drawn.
                dropout.extend(&mut kept, row as u64, tokens);
            }
            let kept = TensorData::new(kept, [batch, heads, tokens, tokens]);
            weights = weights * Tensor::<4>::from_data(kept, &device);
        }
        weights.matmul(value)
    }

    fn random(start: f64) -> Tensor<4> {
        let sizes = [2, 3, 13, 4];
        let mut state = start;
        let values: Vec<f32> = (0..sizes.iter().product())
            .map(|_| {
                state = (state + 0.618_033_988_75) % 1.0;
                (4.0 * state - 2.0) as f32
            })
            .collect();
        Tensor::from_data(TensorData::new(values, sizes), &Device::flex().autodiff()).require_grad()
    }

    /// Output and the gradients of queries, keys and values.
    fn results(
        attention: impl Fn(Tensor<4>, Tensor<4>, Tensor<4>, Plan) -> Tensor<4>,
        plan: Plan,
    ) -> [Vec<f32>; 4] {
        let inputs = [0.1, 0.5, 0.7].map(random);
        let [query, key, value] = inputs.clone();
        let output = attention(query, key, value, plan);
        let loss = (output.clone() * random(0.3).detach()).sum() + output.clone().square().sum();
        let gradients = loss.backward();
        let [query, key, value] = inputs.map(|input| input.grad(&gradients).expect("a gradient"));
        [output.detach(), query, key, value]
            .map(|tensor| tensor.into_data().try_into_vec::<f32>().expect("floats"))
    }

    #[test]
    fn blocks_give_what_the_whole_gives_forwards_and_backwards() {
        let dropout = Some(Dropout { rate: 0.3, seed: 5 });
        for block in [1, 4, 13, 100] {
            for causal in [false, true] {
                for dropout in [None, dropout] {
                    let plan = Plan { block, causal, dropout };
                    let (ours, expected) = (results(attend, plan), results(plain, plan));
                    for (ours, expected) in ours.iter().zip(&expected) {
                        for (a, b) in ours.iter().zip(expected) {
                            assert!((a - b).abs() < 2e-5, "{plan:?}: {a} {b}");
                        }
                    }
                }
            }
        }
    }
}
