//! Which weights are adjusted: those that are stored, whose readers are all known, and whose effect is seen.

use std::collections::HashMap;

use super::blocks::Block;
use super::program::{Program, Step};
use super::site::Site;

impl Program {
    /// Gives a step its adjustable numbers: its own, or those that another step with the same tensors has.
    pub(super) fn adjust(&mut self, step: &mut Step, block: Block, site: &Site<'_>) {
        let tensors = [Some(&block.weight), block.bias.as_ref()];
        if !tensors.into_iter().flatten().all(|name| site.constants.adjustable.contains(name)) {
            self.left_out.push((block.node, "its weight is computed".into()));
            return;
        }
        let twin = self.blocks.iter().position(|own| own.is_shared_with(&block));
        step.block = Some(twin.unwrap_or(self.blocks.len()));
        if twin.is_none() {
            let start = self.numbers.len();
            self.numbers.append(&mut step.fixed);
            self.blocks.push(Block { range: start..self.numbers.len(), ..block });
        }
    }

    /// Leaves weights as they are that are read elsewhere too, or in another way by another step.
    pub(super) fn release(&mut self, uses: &HashMap<String, usize>) {
        let names = |block: &Block| [Some(block.weight.clone()), block.bias.clone()].into_iter().flatten();
        let (mut read, mut owners): (HashMap<String, usize>, HashMap<String, usize>) = Default::default();
        for block in self.steps.iter().filter_map(|step| step.block) {
            names(&self.blocks[block]).for_each(|name| *read.entry(name).or_default() += 1);
        }
        for block in &self.blocks {
            names(block).for_each(|name| *owners.entry(name).or_default() += 1);
        }
        let alone = |name: String| owners.get(&name) == Some(&1) && read.get(&name) == uses.get(&name);
        let live: Vec<bool> = self.blocks.iter().map(|block| names(block).all(alone)).collect();
        self.retain(&live, "others read its weight too");
    }

    /// Keeps the blocks that are `live`; the numbers of the others are constants.
    fn retain(&mut self, live: &[bool], why: &str) {
        let (mut places, mut numbers) = (Vec::<Option<usize>>::new(), Vec::new());
        for (block, &live) in self.blocks.iter_mut().zip(live) {
            places.push(live.then_some(places.iter().flatten().count()));
            let own = self.numbers[block.range.clone()].to_vec();
            if live {
                block.range = numbers.len()..numbers.len() + own.len();
                numbers.extend(own);
            } else {
                for step in self.steps.iter_mut().filter(|step| step.block == Some(places.len() - 1)) {
                    step.fixed.clone_from(&own);
                }
                self.left_out.push((block.node.clone(), why.into()));
            }
        }
        for step in &mut self.steps {
            step.block = step.block.and_then(|block| places[block]);
        }
        let mut live = live.iter();
        self.blocks.retain(|_| live.next().copied().unwrap_or(false));
        self.numbers = numbers;
    }

    /// Leaves weights as they are whose effect is not seen: they change a value that nothing is compared with, in front
    /// of an operator that is not computed here.
    pub(super) fn bound(&mut self, targets: &[usize]) {
        let mut unseen = self.outside.clone();
        let mut live = vec![true; self.blocks.len()];
        for step in self.steps.iter().rev().filter(|step| !targets.contains(&step.output)) {
            if unseen[step.output] {
                step.inputs.iter().for_each(|&input| unseen[input] = true);
                step.block.into_iter().for_each(|block| live[block] = false);
            }
        }
        self.retain(&live, "what it changes is read by an operator that is not differentiated, and cannot be compared");
    }
}
