"""Helper modules of train_demo.py, the script that makes the demo model."""
