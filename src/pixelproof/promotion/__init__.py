"""May a model take the place of the one in use?"""
