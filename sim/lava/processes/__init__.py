"""Lava processes and their models, and nothing else: Lava's compiler executes every file in the folder of a process
class.
"""
