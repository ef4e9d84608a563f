"""The kernel: how a stage is declared, named by a key, run and kept. It knows no stage."""
