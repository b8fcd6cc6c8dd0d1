"""Small random checkpoints and the reference's answers to them.

The reference is Hugging Face transformers in f32 with eager attention. Modules:

  weights     fills a model with random numbers that depend on the tensor's name and a seed only
  checkpoint  writes a model folder (config.json, safetensors) as transformers does, plus a variant's deviations
  reference   loads a model folder and computes logits, greedy continuations and taps
  variants    what a variant is: a model to build, how to save it, which prompts to ask
  families/   one module a model family; each lists its variants
"""
