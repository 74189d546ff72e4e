"""What a visitor keeps of a page: links, notes and labels of samples, case files, pictures, tables and reports."""
