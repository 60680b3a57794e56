"""What makes nnU-Net faster here, and nothing else: ``accelerate: false`` does without all of it.

Without it nnU-Net's own predictor, export and pools of processes are used as they are. But for
bfloat16, which is off unless asked for, nothing is approximated; sums come in another order, hence
labels that agree but for ties:

==================  =============================================================================
:mod:`.network`     weights and values channels last; bfloat16 where asked for and built in
:mod:`.windows`     small windows on a CPU in pairs, a core each (prediction)
:mod:`.labels`      logits brought to the scan's grid slice by slice, the winner kept (prediction)
:mod:`.processes`   threads instead of spawned processes (preparation with ``workers: 0``)
==================  =============================================================================
"""
